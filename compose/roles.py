"""Creation of the roles, and of a login for each service. The script runs at each start, and repairs older ledgers.

Each service except the owner has a login of its own, which inherits the rights of one of the four roles.
"""

import os
from pathlib import Path

from ledger.database import logins
from ledger.database.connection import connect
from ledger.resources import folder

# The kind of login of each service.
SERVICES = {"owner": None, "manager": "manager", "worker": "worker", "dashboard": "reader"}

with connect(os.environ["DATABASE_URL"], "ledger roles", writes=True) as connection:
    connection.execute((folder("sql") / "roles.sql").read_bytes())
    # This server belongs to the ledger. Its other databases permit what the ledger's database refuses.
    connection.execute("revoke connect on database postgres, template1 from public")
    for service, kind in SERVICES.items():
        login, password = Path("/passwords", service, "ledger").read_text().strip().split(":")[-2:]
        if kind is not None and not any(known.name == login for known in logins.all_of(connection)):
            logins.add(connection, login, kind, password)
        # this function sends only the SCRAM hash, so no statement that the server could show or log has the password
        logins.set_password(connection, login, password)
