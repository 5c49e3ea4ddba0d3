"""Runner for the commands of the documentation: it runs each page in order, in a new folder, as a reader would.

`python -m tests.pages docs/PAGE.md` runs a page, and replaces each shown output that differs from the real one.
CONTRIBUTING.md describes the conventions.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from ledger import embedded
from tests import variables
from tests.system.programs import copy_data
from tests.system.servers import USER, Server

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]

# Languages of blocks that are run, and of blocks that are only shown or written to a file.
RUN = ("console", "bash", "sql", "python")
READ = ("text", "toml", "yaml", "json", "csv", "ini", "mermaid", "log")

# The files of .venv by which make knows what it has installed.
STAMPS = ("installed", "ready", "bench")

_BLOCK = re.compile(
    r"(?P<said>(?:^ *<!-- [^\n]*-->\n)*)^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_SAID = re.compile(r"<!-- (\w[\w ]*?)(?:: (.*?))? -->")
_KNOWN = ("file", "run by", "fails", "output", "typed")


@dataclass
class Command:
    """One command of a block, and the lines that the page shows below it."""

    text: str
    shown: list[str] = field(default_factory=list)


@dataclass
class Block:
    """A fenced block. `said` has the comments right above it."""

    line: int
    language: str
    text: str
    said: dict[str, str]
    span: tuple[int, int] = (0, 0)
    indent: str = ""

    @property
    def is_run(self) -> bool:
        """Whether the test of the page runs this block."""
        return self.language in RUN and not {"file", "run by"} & self.said.keys()

    def commands(self) -> list[Command]:
        """Return the commands of a console block: each line with a prompt, together with its continuation lines."""
        found: list[Command] = []
        for line in self.text.splitlines():
            if found and not found[-1].shown and _goes_on(found[-1].text):
                found[-1].text += "\n" + line
            elif line.startswith("$ "):
                found.append(Command(line.removeprefix("$ ")))
            elif found:
                found[-1].shown.append(line)
            else:
                raise AssertionError(f"line {self.line}: a console block begins with a command, after `$ `")
        return found


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = []
    for match in _BLOCK.finditer(page):
        text = "".join(line.removeprefix(match["indent"]) for line in match["text"].splitlines(keepends=True))
        said = {name: value or "" for name, value in _SAID.findall(match["said"]) if name != "server"}
        line = page.count("\n", 0, match.start("language")) + 1
        assert said.keys() <= set(_KNOWN), f"line {line}: {', '.join(said)} is none of {', '.join(_KNOWN)}"
        found.append(Block(line, match["language"], text, said, match.span("text"), match["indent"]))
    fences = len(re.findall(r"^ *```", page, re.MULTILINE))
    assert fences == 2 * len(found), "a fence without its other one"
    said_anywhere = sum(name in _KNOWN for name, _ in _SAID.findall(page))
    assert said_anywhere == sum(len(one.said) for one in found), "a comment about a block is not right above one"
    return found


def server_of(page: str) -> str | None:
    """Return the name of the server in a page's comment, or None."""
    return next((value for name, value in _SAID.findall(page) if name == "server"), None)


class Reader:
    """Runner of the blocks of one page, in a folder that looks like a fresh clone.

    All commands of a page run in one shell, so that variables and background processes persist.

    Parameters
    ----------
    folder : Path
        An empty folder.
    way : str
        Shell code that runs before each command. Its first argument is the command.
    """

    def __init__(self, folder: Path, way: str = "") -> None:
        self._folder, self._notes, self._count, self._way = folder / "clone", folder / "notes", 0, way
        for each in (self._folder, self._notes):
            each.mkdir()
        for entry in ROOT.iterdir():
            if not entry.name.startswith("."):
                (self._folder / entry.name).symlink_to(entry)
        # the environment is up to date, so that make installs nothing
        installed = self._folder / ".venv"
        installed.mkdir()
        for entry in Path(sys.prefix).iterdir():
            if entry.name not in STAMPS:
                (installed / entry.name).symlink_to(entry)
        for stamp in STAMPS:
            (installed / stamp).touch()
        programs = [Path(sys.executable).parent, embedded.program("psql").parent]
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in variables.ALL and not k.startswith("PG")},
            "PATH": os.pathsep.join([*map(str, programs), os.environ.get("PATH", os.defpath)]),
            "HOME": str(folder),
            "PSQLRC": os.devnull,
            "PAGER": "",
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "100",
        }
        # with the variables of the tests' make, a page's make would print the folders that it enters
        for name in ("LEDGER_HOME", "MAKELEVEL", "MAKEFLAGS", "MFLAGS"):
            self.environment.pop(name, None)

    def __enter__(self) -> "Reader":
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self._folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.close()
        # end the background processes
        while _signal(self._shell.pid, signal.SIGTERM):
            self._shell.poll()
            time.sleep(0.02)
        self._shell.wait()
        self._shell.stdout.close()

    def read(self, page: str, shows: Callable[[Block, str], None]) -> None:
        """Run the blocks of a page. `shows` is called with each block that shows output, and with the real output."""
        last = ""
        for block in blocks(page):
            if "file" in block.said:
                file = self._folder / block.said["file"]
                assert not file.is_symlink(), f"line {block.line}: {file.name} is a file of the project"
                file.write_text(block.text)
            elif "output" in block.said:
                shows(block, last)
            elif block.is_run and block.language == "console":
                written = ""
                for command in block.commands():
                    last = self._run(block, command.text)
                    written += f"$ {command.text}\n" + (last if command.shown else "")
                shows(block, written)
            elif block.is_run:
                last = self._run(block, _PROGRAMS[block.language].format(shlex.quote(block.text)))

    def _run(self, block: Block, command: str) -> str:
        """Run a command in the page's shell. Returns its standard output, or its standard error if it must fail."""
        # a new set of files, because background processes continue to write to the old ones
        self._count += 1
        names = ("command", "typed", "out", "error")
        file, typed, out, error = (self._notes / f"{self._count}-{name}" for name in names)
        file.write_text(f"{self._way}\n{command}\n")
        # without a terminal, a program reads passwords from this file
        typed.write_text("".join(f"{line}\n" for line in block.said.get("typed", "").split()))
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        quoted = [shlex.quote(str(path)) for path in (file, command, typed, out, error)]
        self._shell.stdin.write(". {} {} <{} >{} 2>{}; echo $?\n".format(*quoted))
        self._shell.stdin.flush()
        answer = self._shell.stdout.readline().strip()
        fails = "fails" in block.said
        assert (answer != "0") == fails, (
            f"line {block.line}: exit code {answer} of\n{command}\n{out.read_text()}\n{error.read_text()}"
        )
        return _trimmed(error.read_text() if fails else out.read_text())


_PROGRAMS = {
    "bash": "bash -euo pipefail -c {}",
    "sql": "ledger db psql -q -v ON_ERROR_STOP=1 <<<{}",
    "python": "python -c {}",
}


@contextmanager
def reader(page: str, folder: Path, *, is_new: bool = True) -> Iterator[Reader]:
    """Yield a reader of a page with the page's server, or with an embedded server.

    `is_new` says whether the embedded server starts without data, or with a copy of an empty ledger.
    """
    server = server_of(page)
    with ExitStack() as stack:
        if server is None:
            # the server keeps running, because a start and a stop would add a second to each command
            it = Reader(folder)
            if not is_new:
                copy_data(folder / "clone" / ".ledger")
            stack.enter_context(embedded.running(folder / "clone" / ".ledger", create=True))
        else:
            postgres = stack.enter_context(Server(folder / "server"))
            password = _make_administrator(postgres)
            # libpq connects to this address for every host name
            goes = f"export PGHOSTADDR={postgres.host} PGPORT={postgres.port}"
            it = Reader(
                folder, f'case "$1 ${{DATABASE_URL-}}" in *{server}*) {goes};; *) unset PGHOSTADDR PGPORT;; esac'
            )
            passwords = folder / ".pgpass"
            passwords.touch(mode=0o600)
            passwords.write_text(f"{server}:*:*:postgres:{password}\n")
        yield stack.enter_context(it)


def matches(shown: str, real: str) -> bool:
    """Whether real output matches the shown one. … matches any text, and alone on a line it matches any lines."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else ".*".join(map(re.escape, line.rstrip().split("…"))) + r"\n"
        for line in shown.splitlines()
    )
    return re.fullmatch(pattern, real) is not None


def _make_administrator(server: Server) -> str:
    """Create the role and the empty database that a provider gives its customers."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        password = sql.Literal(server.password)
        connection.execute(sql.SQL("create role postgres login createdb createrole password {}").format(password))
        connection.execute("create database ledger owner postgres")
    assert USER != "postgres"
    return server.password


def _goes_on(command: str) -> bool:
    if command.endswith("\\"):
        return True
    document = re.search(r"(?<!<)<<-? *['\"]?(\w+)", command)
    if document is not None:
        return document[1] not in command.splitlines()
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


def _trimmed(text: str) -> str:
    """Return output without trailing blanks in its lines, and without empty lines at its end."""
    trimmed = "\n".join(line.rstrip() for line in text.splitlines()).rstrip()
    return trimmed + "\n" if trimmed else ""


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def correct(path: Path) -> None:
    """Run a page, and replace each shown output that differs from the real one."""
    page = path.read_text()
    real: list[tuple[Block, str]] = []
    with tempfile.TemporaryDirectory() as folder, reader(page, Path(folder)) as it:
        it.read(page, lambda block, text: real.append((block, text)))
    for block, text in reversed(real):
        if not matches(block.text, text):
            start, end = block.span
            page = page[:start] + textwrap.indent(text, block.indent) + page[end:]
    path.write_text(page)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        correct(Path(argument))
