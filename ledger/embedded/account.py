"""If this process runs as root, another system user runs the embedded server. PostgreSQL refuses to run as root."""

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

from ledger.embedded.ownership import SYSTEM_USER, system_user
from ledger.errors import LedgerError

_NOT_AS_ROOT = "start your program as a user other than root, or name a server with --database-url"


def server_account() -> tuple[int, int] | None:
    """Return the user id and the group id under which the server runs.

    The return value None means that the server runs as the user of this process.

    If this process runs as root, the system user `SYSTEM_USER` runs the server. The function creates the user
    `SYSTEM_USER` if this user does not exist.

    Raises
    ------
    LedgerError
        The system user cannot be created.
    """
    if os.geteuid() != 0:
        return None
    account = system_user()
    if account is not None:
        return account
    # The ledger creates a system user that runs only the embedded server. The server does not run as an existing system
    # user such as postgres. Other processes of an existing system user could enter the socket's folder. While a process
    # of the ledger holds the flock lock on /etc/passwd, no other process of the ledger runs useradd. The program
    # useradd first checks whether the user exists, and takes its own lock only after this check. Therefore the flock
    # lock is necessary. Without the flock lock, a second useradd process could overwrite the entry that the first
    # useradd process has written.
    with Path("/etc/passwd").open() as accounts:
        fcntl.flock(accounts, fcntl.LOCK_EX)
        account = system_user()
        if account is None:
            options = ["--system", "--no-create-home", "--shell=/usr/sbin/nologin"]
            useradd = [_program_for_root("useradd"), *options, SYSTEM_USER]
            message = subprocess.run(useradd, check=False, capture_output=True, text=True).stderr
            account = system_user()
            if account is None:
                reason = " ".join(message.split())
                raise LedgerError(
                    f"PostgreSQL refuses to run as root, and the user {SYSTEM_USER} cannot be created ({reason}):"
                    f" {_NOT_AS_ROOT}"
                )
    return account


def run_as(account: tuple[int, int] | None) -> list[str]:
    """Return the arguments that must precede a command line, so that the program runs under the user id and the group
    id in `account`.

    The list of arguments is empty if `account` is None.

    Raises
    ------
    LedgerError
        The program setpriv is not installed.
    """
    if account is None:
        return []
    # The server's home folder or the PostgreSQL programs may be in a folder that only root can enter, such as /root. A
    # Linux capability allows the server to enter a folder of root, so the permissions of the folder need no change. The
    # capability dac_read_search would be sufficient. However, root in a container may have only the capability
    # dac_override. The capability dac_override also allows the server to write to every file. The risk of dac_override
    # is small, because only root and the system user can connect to the server or change the server's data.
    capabilities = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    has_search = capabilities is not None and int(capabilities[1], 16) & 1 << 2
    capability = "dac_read_search" if has_search else "dac_override"
    return [
        _program_for_root("setpriv"),
        *(f"--reuid={account[0]}", f"--regid={account[1]}", "--clear-groups"),
        *(f"--inh-caps=-all,+{capability}", f"--ambient-caps=-all,+{capability}"),
        # Without the securebit no_setuid_fixup, access(2) ignores the capability, and PostgreSQL does not find its own
        # programs.
        "--securebits=+no_setuid_fixup",
    ]


def _program_for_root(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        raise LedgerError(
            "PostgreSQL refuses to run as root; to start PostgreSQL as another user, the ledger needs the program"
            f" {name}, which is not installed: {_NOT_AS_ROOT}"
        )
    return path
