"""Generator of the passwords: one for each role that has none, in a volume that only the role's service mounts."""

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
    # this file is written last, so its existence shows that the password is complete
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
