"""The system user that runs the embedded server for root, because PostgreSQL refuses to run as root."""

import fcntl
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

from ledger.embedded.folders import data_folder, exists
from ledger.errors import LedgerError

SYSTEM_USER = "ledger-postgres"
_NOT_AS_ROOT = "run as another user, or name a server with --database-url"


def server_account(home: Path) -> tuple[int, int] | None:
    """Return the ids of the user and group that run the server. None stands for the user of this process.

    If this process runs as root, the owner of the data runs the server. If root owns the data or no data exist, a
    system user runs the server. The function creates the system user if it is missing.

    Raises
    ------
    LedgerError
        The system user cannot be created.
    """
    if os.geteuid() != 0:
        return None
    if exists(home):
        data = data_folder(home).stat()
        if data.st_uid != 0:
            return data.st_uid, data.st_gid
    # The server has its own system user. Processes of an existing system user, such as postgres, could otherwise enter
    # the socket's folder. The lock allows only one process at a time to create the system user. The lock is needed,
    # because useradd checks the name before it locks the file. Without the lock, a second useradd could replace the
    # entry of the first useradd.
    with Path("/etc/passwd").open() as accounts:
        fcntl.flock(accounts, fcntl.LOCK_EX)
        account = _system_user()
        if account is None:
            options = ["--system", "--no-create-home", "--shell=/usr/sbin/nologin"]
            useradd = [_program_for_root("useradd"), *options, SYSTEM_USER]
            message = subprocess.run(useradd, check=False, capture_output=True, text=True).stderr
            account = _system_user()
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
    # risk is small, because only root and the system user can connect to the server.
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


def _system_user() -> tuple[int, int] | None:
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def _program_for_root(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        raise LedgerError(f"PostgreSQL does not run as root, and {name} is not installed: {_NOT_AS_ROOT}")
    return path
