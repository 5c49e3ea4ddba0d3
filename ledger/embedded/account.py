"""The system user that runs the embedded server for root, because PostgreSQL refuses to run as root."""

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

from ledger.embedded.ownership import SYSTEM_USER, system_user
from ledger.errors import LedgerError

_NOT_AS_ROOT = "start this program as a user other than root, or name a server with --database-url"


def server_account() -> tuple[int, int] | None:
    """Return the ids of the user and group that run the server.

    The return value None means that the user of this process runs the server.

    If this process runs as root, the system user `SYSTEM_USER` runs the server. The function creates this user if the
    user does not exist.

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
    # The ledger creates a system user that runs only the server. If an existing system user such as postgres ran the
    # server, other processes of this user could enter the socket's folder. The lock allows only one process at a time
    # to create the system user. The lock is needed, because useradd checks whether the user exists before it locks
    # /etc/passwd. Without the lock, a second process of useradd could overwrite the entry that the first process has
    # written.
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
    """Return the words that the caller must put before a command to run the command as `account`.

    The list is empty if `account` is None.

    Raises
    ------
    LedgerError
        The program setpriv is not installed.
    """
    if account is None:
        return []
    # The server's home folder or the PostgreSQL wheel may be in a folder that only root can search, such as /root. The
    # server gets a capability that allows it to search this folder, so the folder's permissions need no change. The
    # capability dac_read_search is enough for the search, but root in a container may have only dac_override. The
    # capability dac_override also allows the server to write to every file. The risk is small, because only root and
    # the system user can connect to the server or change its data.
    capabilities = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    has_search = capabilities is not None and int(capabilities[1], 16) & 1 << 2
    capability = "dac_read_search" if has_search else "dac_override"
    return [
        _program_for_root("setpriv"),
        *(f"--reuid={account[0]}", f"--regid={account[1]}", "--clear-groups"),
        *(f"--inh-caps=-all,+{capability}", f"--ambient-caps=-all,+{capability}"),
        # Without no_setuid_fixup, access(2) ignores the capability, and PostgreSQL does not find its own programs.
        "--securebits=+no_setuid_fixup",
    ]


def _program_for_root(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        raise LedgerError(
            f"PostgreSQL refuses to run as root, and the program {name}, which the ledger needs to start PostgreSQL as"
            f" another user, is not installed: {_NOT_AS_ROOT}"
        )
    return path
