"""Make the password of each role that has none yet, where only its own service will see it; leave the others alone."""

import os
import secrets
from pathlib import Path

# each folder is a volume of its own
FOLDERS = Path("/passwords")
ROLES = {
    "superuser": "ledger",
    "owner": "ledger_owner",
    "manager": "ledger_manager",
    "worker": "ledger_worker",
    "dashboard": "ledger_dashboard",
}

os.umask(0o077)
for name, role in ROLES.items():
    folder = FOLDERS / name
    # the last file to be made says that all are there
    if (folder / "ledger").exists():
        continue
    password = secrets.token_hex(24)
    if name == "superuser":
        # what the database is made with
        (folder / "postgres").write_text(password)
    new = folder / "new"
    new.write_text(f"db:5432:*:{role}:{password}\n")
    new.rename(folder / "ledger")
    print(f"made a password for {role}")  # noqa: T201
