"""Attacks by neighbours on the machine: planted modules, and a planted ledger of another user."""

import os
import pwd
import random
import shutil
import subprocess
import sys
from pathlib import Path

from tests.attack.tally import Tally
from tests.attack.victims import Victims
from tests.system.accounts import USER
from tests.system.programs import Program

_SHADOW = "import pathlib; pathlib.Path({mark!r}).touch()\n"
# Modules that a command of the ledger or one of its child processes imports.
_MODULES = ("ledger/__main__.py", "ledger/__init__.py", "sklearn.py", "json.py", "psycopg.py", "numpy.py", "tests.py")


class Neighbours:
    """Plants files where a command is started.

    Attributes
    ----------
    executed : int
        Number of planted files that were executed.
    signalled : int
        Number of processes outside the ledger that were ended.
    """

    def __init__(self, victims: Victims, tally: Tally, rng: random.Random) -> None:
        self._tally, self._rng, self._folder = tally, rng, victims.folder / "neighbours"
        self._folder.mkdir()
        self._url = victims.urls["ledger_manager"]
        self._number = 0
        self.executed = self.signalled = 0
        self.tracebacks: list[str] = []

    def attack(self) -> None:
        """Plant a module, or, for root, a ledger of another user."""
        if os.geteuid() == 0 and self._rng.random() < 0.5:
            self._plant_ledger()
        else:
            self._plant_module()

    def _new_folder(self) -> Path:
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        return folder

    def _plant_module(self) -> None:
        name = self._rng.choice(_MODULES)
        self._tally.tried("planted module in the current folder")
        folder = self._new_folder()
        planted, mark = folder / name, folder / "executed"
        planted.parent.mkdir(exist_ok=True)
        planted.write_text(_SHADOW.format(mark=str(mark)))
        # the installed command, which does not import from the current folder itself
        command = [str(Path(sys.executable).with_name("ledger")), "run", "--model", "svm", "--dataset", "iris"]
        command += ["--iterations", "1", "--batch-size", "2", "--workers", "1", "--name", f"planted-{self._number}"]
        environment = Program(folder, DATABASE_URL=self._url).environment
        self._run(command, folder, environment)
        self.executed += mark.exists()

    def _plant_ledger(self) -> None:
        self._tally.tried("planted ledger of another user")
        folder = self._new_folder()
        folder.chmod(0o755)
        account = pwd.getpwnam(USER)
        mark = Path("/tmp", f"attack-{os.getpid()}-{self._number}")
        home = folder / ".ledger"
        data = home / "data"
        data.mkdir(parents=True)
        innocent = subprocess.Popen(["/bin/sleep", "600"])
        (data / "PG_VERSION").write_text("18\n")
        (data / "postgresql.conf").write_text(
            f"archive_mode = on\narchive_timeout = 1\narchive_command = 'touch {mark}'\n"
            f"ssl_passphrase_command = 'touch {mark}'\nrestore_command = 'touch {mark}'\n"
        )
        (data / "postmaster.pid").write_text(f"{innocent.pid}\n{data}\n")
        for path in (home, data, *data.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
        environment = Program(folder, DATABASE_URL="").environment
        del environment["DATABASE_URL"], environment["LEDGER_HOME"]
        command = self._rng.choice([["study", "list"], ["run", "--model", "svm", "--iterations", "1"], ["db", "url"]])
        self._run([sys.executable, "-P", "-m", "ledger", *command], folder, environment)
        self.executed += mark.exists()
        mark.unlink(missing_ok=True)
        self.signalled += innocent.poll() is not None
        innocent.kill()
        innocent.wait()
        shutil.rmtree(folder)

    def _run(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300
        )
        if "Traceback" in ended.stderr:
            self.tracebacks.append(f"{' '.join(command[1:4])}: {ended.stderr[-300:]}")
