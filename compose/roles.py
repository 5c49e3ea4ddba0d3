"""Creation of the roles and their passwords. It runs at each start, so that an older ledger gets them too."""

import os
from pathlib import Path

from ledger.database import logins
from ledger.database.connection import connect
from ledger.resources import folder

SERVICES = ("owner", "manager", "worker", "dashboard")
# A separate login for the dashboard. All other services log in as one of the four roles, which no one else uses.
DASHBOARD = "ledger_dashboard"

with connect(os.environ["DATABASE_URL"], "ledger roles", writes=True) as connection:
    connection.execute((folder("sql") / "roles.sql").read_bytes())
    for service in SERVICES:
        role, password = Path("/passwords", service, "ledger").read_text().strip().split(":")[-2:]
        if role == DASHBOARD and not any(login.name == role for login in logins.all_of(connection)):
            logins.add(connection, role, "reader", password)
        # sends only the SCRAM hash, so the password is in no statement that the server could show or log
        logins.set_password(connection, role, password)
