"""Generator of passwords for the logins. Each password is in a volume that only the service of the login mounts.

The script generates no password for a login that already has a password.
"""

import os
import secrets
from pathlib import Path

# each folder is a separate volume
FOLDERS = Path("/passwords")
LOGINS = {
    "superuser": "ledger",
    "owner": "ledger_owner",
    "manager": "compose_manager",
    "worker": "compose_worker",
    "dashboard": "ledger_dashboard",
}

os.umask(0o077)
for name, login in LOGINS.items():
    folder = FOLDERS / name
    # the script writes the file `ledger` last, so the existence of this file shows that the password is complete; in a
    # ledger of an older version, the file has the password of another login
    if (folder / "ledger").exists() and f":{login}:" in (folder / "ledger").read_text():
        continue
    password = secrets.token_hex(24)
    if name == "superuser":
        # the postgres image reads the superuser's password from this file
        (folder / "postgres").write_text(password)
    new = folder / "new"
    new.write_text(f"db:5432:*:{login}:{password}\n")
    new.rename(folder / "ledger")
    print(f"made a password for {login}")  # noqa: T201
