"""Generator of passwords for the roles. Each password is in a volume that only the service of the role mounts.

The script generates no password for a role that already has a password.
"""

import os
import secrets
from pathlib import Path

# each folder is a separate volume
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
    # the script writes the file `ledger` last, so the existence of this file shows that the password is complete
    if (folder / "ledger").exists():
        continue
    password = secrets.token_hex(24)
    if name == "superuser":
        # the postgres image reads the superuser's password from this file
        (folder / "postgres").write_text(password)
    new = folder / "new"
    new.write_text(f"db:5432:*:{role}:{password}\n")
    new.rename(folder / "ledger")
    print(f"made a password for {role}")  # noqa: T201
