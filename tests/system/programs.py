"""Real processes of the program `ledger`, with a separate home folder and environment."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import psycopg

from ledger import embedded
from tests import variables
from tests.databases import upgrade
from tests.fuzz import run
from tests.system.preloaded import is_template

# Longer than any test waits for what it expects, on a machine that is busy with other work too.
PATIENCE = 300.0  # seconds


class Program:
    """The program in a folder.

    Parameters
    ----------
    folder : Path
        Where it runs; its home is a folder in it.
    prefix : sequence of str
        Beginning of each command line, such as a program that changes the user.
    is_new : bool
        Whether its first command makes the embedded server's data, which else are a copy of some made before.
    **given
        Variables of its environment.
    """

    def __init__(self, folder: Path, *, prefix: Sequence[str] = (), is_new: bool = False, **given: str) -> None:
        self._prefix = prefix
        self.folder, self.home = folder, folder / "home"
        if not is_new and "DATABASE_URL" not in given and not self.home.exists():
            copy_data(self.home)
        self._environment = {k: v for k, v in os.environ.items() if k not in variables.ALL}
        self._environment |= {"LEDGER_HOME": str(self.home), **given}

    @property
    def environment(self) -> dict[str, str]:
        return dict(self._environment)

    def start(self, *arguments: str, log: IO[str] | None = None) -> "subprocess.Popen[str]":
        """Start a command in a new session. Its output goes to pipes, or to the log file."""
        return self.start_python("-m", "ledger", *arguments, log=log)

    def start_python(self, *arguments: str, log: IO[str] | None = None) -> "subprocess.Popen[str]":
        """Start Python with a script or a module in a new session. Its output goes to pipes, or to the log file."""
        return subprocess.Popen(
            [*self._prefix, sys.executable, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=log or subprocess.PIPE,
            stderr=log or subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command to its end. Returns its standard output, or its standard error if it must fail."""
        return _output(self.start(*arguments), code)

    def run_python(self, *arguments: str, code: int = 0) -> str:
        """Run Python with a script or a module to its end. Returns what `run` returns."""
        return _output(self.start_python(*arguments), code)

    def document(self, study: str) -> dict[str, Any]:
        """Return a study's export, which this process makes: to start another takes most of a second."""
        code, out, error = run(["export", study, "--format", "json"], self._environment)
        assert code == 0, error
        document: dict[str, Any] = json.loads(out)
        return document

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a query on the embedded server, which must be running."""
        with psycopg.connect(embedded.url(self.home), autocommit=True) as connection:
            return connection.execute(statement).fetchall()


def _output(process: "subprocess.Popen[str]", code: int) -> str:
    out, error = process.communicate()
    assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{error}"
    return error if code else out


def copy_data(home: Path) -> None:
    """Make the home of an embedded server with a copy of an empty ledger's data."""
    home.mkdir()
    subprocess.run(["cp", "-a", str(_data()), str(home)], check=True)


@cache
def _data() -> Path:
    """Return the data of an empty ledger, made once in a test process; its server does not wait for the disk."""
    home = Path(tempfile.mkdtemp(prefix="ledger-"))
    atexit.register(shutil.rmtree, home)
    with embedded.running(home, create=True) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("alter system set fsync = off")
        upgrade(url)
    return home / "data"


# An objective that creates a file when it begins, and waits for another file.
BLOCKING = """
import pathlib, time

def blocked(params):
    pathlib.Path("begun").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    return params["x"] ** 2
"""
# A program as an objective: a training of nine steps, which reports its loss after each step.
CURVE = """
import json, os, sys

x = float(sys.argv[1])
offset = int(os.environ["LEDGER_TRIAL_SEED"]) % 101 / 50
for step in range(1, 10):
    loss = offset + (x - 0.3) ** 2 + 0.2 * (1 + x) / step
    print(json.dumps({"step": step, "value": loss}), flush=True)
print(loss)
"""
_OWN = """
[study]
name = "own"
iterations = 1
batch_size = {batch_size}
[objective]
function = "mine:{function}"
[space]
x = {{ type = "real", low = -1.0, high = 1.0 }}
[limits]
{limits}
"""


def own_study(folder: Path, code: str, function: str, batch_size: int = 2, **limits: float) -> None:
    """Write mine.py with the code of an objective, and own.toml with a study of one iteration."""
    (folder / "mine.py").write_text(code)
    lines = "\n".join(f"{name} = {value}" for name, value in limits.items())
    (folder / "own.toml").write_text(_OWN.format(batch_size=batch_size, function=function, limits=lines))


def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Poll until the condition is true. An error of the database counts as false."""
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        try:
            if found := condition():
                return found
        except psycopg.Error:
            pass
        # Polling takes at most a fifth of the time, because the processes under test need the processor.
        time.sleep(max(0.05, 4 * (time.monotonic() - began)))
    raise AssertionError(f"not within {seconds} s")


def wait_for_text(file: Path) -> str:
    """Return the text of a file that another process writes. A process creates a file before it writes the text."""
    text: str = wait_until(lambda: file.exists() and file.read_text())
    return text


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # The process can end between the opening and the reading.
        return False


def children_of(parent: int) -> Iterator[int]:
    """Yield the process ids of a process's children, without its template."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                of = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if of == parent and not is_template(int(folder.name)):
                yield int(folder.name)


def trainers_of(parent: int) -> list[int]:
    """Return the process ids of a process's trainers."""
    found = []
    for pid in children_of(parent):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"trainer_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def lines_of_code(file: Path) -> list[str]:
    """Return the lines of a program or of a notebook's code, without empty lines, comments and the docstring."""
    text = file.read_text()
    if file.suffix == ".ipynb":
        cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        text = "\n".join("".join(source) for source in cells)
    return [line for line in text.splitlines() if line.strip() and not line.startswith(('"""', "#"))]
