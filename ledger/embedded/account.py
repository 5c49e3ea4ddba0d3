"""The system user that runs the embedded server for root, because PostgreSQL refuses to run as root."""

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

from ledger.embedded.ownership import SYSTEM_USER, system_user
from ledger.errors import LedgerError

_NOT_AS_ROOT = "run as another user, or name a server with --database-url"


def server_account() -> tuple[int, int] | None:
    """Return the ids of the user and group that run the server. None stands for the user of this process.

    If this process runs as root, a system user runs the server. The function creates the system user if it is missing.

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
    # The server has its own system user. Processes of an existing system user, such as postgres, could otherwise enter
    # the socket's folder. The lock allows only one process at a time to create the system user. The lock is needed,
    # because useradd checks the name before it locks the file. Without the lock, a second useradd could replace the
    # entry of the first useradd.
    with Path("/etc/passwd").open() as accounts:
        fcntl.flock(accounts, fcntl.LOCK_EX)
        account = system_user()
        if account is None:
            options = ["--system", "--no-create-home", "--shell=/usr/sbin/nologin"]
            useradd = [_program_for_root("useradd"), *options, SYSTEM_USER]
            message = subprocess.run(useradd, check=False, capture_output=True, text=True).stderr
            account = system_user()
            if account is None:
                raise LedgerError(f"PostgreSQL does not run as root, and {' '.join(message.split())}: {_NOT_AS_ROOT}")
    return account


def run_as(account: tuple[int, int] | None) -> list[str]:
    """Return the beginning of a command line that runs a command as `account`.

    The list is empty if `account` is None.

    Raises
    ------
    LedgerError
        The program setpriv is not installed.
    """
    if account is None:
        return []
    # The home folder or the wheel may be in a folder that only root can search, such as /root. The server gets a
    # capability that allows the search, so the folder's permissions need no change. The capability dac_read_search is
    # enough, but root in a container may have only dac_override. The capability dac_override also allows writing. The
    # risk is small, because only root and the system user can connect to the server, and own its data.
    capabilities = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    has_search = capabilities is not None and int(capabilities[1], 16) & 1 << 2
    capability = "dac_read_search" if has_search else "dac_override"
    return [
        _program_for_root("setpriv"),
        *(f"--reuid={account[0]}", f"--regid={account[1]}", "--clear-groups"),
        *(f"--inh-caps=-all,+{capability}", f"--ambient-caps=-all,+{capability}"),
        # Without this option, access(2) ignores the capability, and PostgreSQL does not find its own programs.
        "--securebits=+no_setuid_fixup",
    ]


def _program_for_root(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        raise LedgerError(f"PostgreSQL does not run as root, and {name} is not installed: {_NOT_AS_ROOT}")
    return path
