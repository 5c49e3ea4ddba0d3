"""Creation of the roles and their passwords. The script runs at each start, so an older ledger also gets new roles."""

import os
from pathlib import Path

from ledger.database import logins
from ledger.database.connection import connect
from ledger.resources import folder

SERVICES = ("owner", "manager", "worker", "dashboard")
# The dashboard has a separate login. Each other service logs in as one of the four roles, which no other service uses.
DASHBOARD = "ledger_dashboard"

with connect(os.environ["DATABASE_URL"], "ledger roles", writes=True) as connection:
    connection.execute((folder("sql") / "roles.sql").read_bytes())
    for service in SERVICES:
        role, password = Path("/passwords", service, "ledger").read_text().strip().split(":")[-2:]
        if role == DASHBOARD and not any(login.name == role for login in logins.all_of(connection)):
            logins.add(connection, role, "reader", password)
        # this function sends only the SCRAM hash, so no statement that the server could show or log has the password
        logins.set_password(connection, role, password)
