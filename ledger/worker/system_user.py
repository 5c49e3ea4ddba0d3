"""The system user that runs the trainer if the worker runs as root."""

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from typing import IO, Any

from ledger.errors import LedgerError, UsageError
from ledger.text import one_line
from ledger.worker import credentials

_OPTION = "--trainer-user"
_SETTING = f"{_OPTION} or LEDGER_WORKER_TRAINER_USER"


@dataclass(frozen=True)
class SystemUser:
    """A user of the operating system, and the user's groups.

    Attributes
    ----------
    name, home : str
        Name of the user, and home folder of the user.
    uid, gid : int
        The id of the user, and the id of the user's main group.
    groups : tuple of int
        Ids of all groups of the user.
    """

    name: str
    home: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that describe the user."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}

    @property
    def process_options(self) -> dict[str, Any]:
        """Arguments of `subprocess.Popen` that start a process as the user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": self.groups}

    def own(self, *pipes: IO[bytes]) -> None:
        """Make the user the owner of the given pipes.

        If the user owns a pipe, a process of the user can open the pipe by a path such as /dev/stderr.
        """
        for pipe in pipes:
            os.fchown(pipe.fileno(), self.uid, self.gid)

    def check(self) -> None:
        """Check that a process of the user can import the code of the trainer.

        Raises
        ------
        LedgerError
            This process has no permission to start a process as the user, or the user cannot read the files of Python
            or of the ledger.
        """
        command = [sys.executable, "-P", "-c", "import ledger.worker.trainer_process"]
        try:
            subprocess.run(
                command,
                check=True,
                env={**credentials.without(os.environ), **self.variables},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                **self.process_options,
            )
        except OSError as error:
            reason = f"{sys.executable}: {error.strerror}"
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip() or "no message").splitlines()[-1]
        else:
            return
        raise LedgerError(
            f"user {self.name} ({_OPTION}) cannot run the trainer ({one_line(reason)}):"
            " install Python and the ledger in folders that this user can read"
        )


def find_system_user(name: str) -> SystemUser:
    """Return the system user with the given name.

    This process must have the permission to start the trainer as the returned user.

    Raises
    ------
    UsageError
        This process does not run as root, no user with this name exists, or the user is root.
    """
    shown = one_line(name, 60)
    if os.geteuid() != 0:
        raise UsageError(
            f"{_SETTING}: {shown} needs a worker that runs as root: start the worker as root, or omit {_OPTION}"
        )
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise UsageError(
            f"{_SETTING}: {shown} is not a user of this machine: create the user with useradd, or name another user"
        ) from None
    if entry.pw_uid == 0:
        raise UsageError(
            f"{_SETTING}: {shown} is root: name a user with few rights, because objectives get this user's rights"
        )
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return SystemUser(entry.pw_name, entry.pw_dir, entry.pw_uid, entry.pw_gid, groups)
