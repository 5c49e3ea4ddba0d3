"""Creation of the roles and their passwords. It runs at each start, so that an older ledger gets them too."""

import os
from pathlib import Path

import psycopg

from ledger.resources import folder

SERVICES = ("owner", "manager", "worker", "dashboard")
# A separate reader for the dashboard, so that a password of ledger_reader stays unchanged.
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
        # sends only the SCRAM hash, so the password is in no statement that the server could show or log
        connection.pgconn.change_password(role.encode(), password.encode())
