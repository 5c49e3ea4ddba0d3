"""Make the roles and give each the password of its service; at every start, so that an older ledger gets them too."""

import os
from pathlib import Path

import psycopg

from ledger.resources import folder

SERVICES = ("owner", "manager", "worker", "dashboard")
# a reader with a password of its own, so that whoever gave ledger_reader one keeps it
DASHBOARD = """
do $$
begin
  if to_regrole('ledger_dashboard') is null then create role ledger_dashboard login; end if;
  grant ledger_reader to ledger_dashboard;
end
$$
"""

with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    connection.execute((folder("sql") / "roles.sql").read_bytes())
    connection.execute(DASHBOARD)
    for service in SERVICES:
        role, password = Path("/passwords", service, "ledger").read_text().strip().split(":")[-2:]
        # sends the SCRAM hash, so that the password is in no statement, which the server could show or log
        connection.pgconn.change_password(role.encode(), password.encode())
