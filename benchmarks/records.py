"""Files of results with a line of JSON for each run: a run that has a line is not repeated."""

import ast
import hashlib
import json
import signal
from collections.abc import Callable, Hashable, Iterable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

Record = dict[str, Any]


class Task(Protocol):
    """One run. `str(task)` names it in messages."""

    @property
    def key(self) -> Hashable:
        """The values that identify the run's line, and that `key_of` reads from the line."""

    def run(self) -> Record: ...

    def summary(self, record: Record) -> str:
        """Return what a message says about the result."""


AnyTask = TypeVar("AnyTask", bound=Task)


def read(file: Path) -> list[Record]:
    """Return the lines of a file, which may not exist. An incomplete line of a killed run is ignored."""
    found = []
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def append(file: Path, record: Record) -> None:
    """Add a line. If a killed run left an incomplete line, begin a new one first."""
    with file.open("a+b") as lines:
        if lines.tell():
            lines.seek(-1, 2)
            if lines.read(1) != b"\n":
                lines.write(b"\n")
        lines.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def missing(file: Path, wanted: Sequence[AnyTask], key_of: Callable[[Record], Hashable]) -> list[AnyTask]:
    """Return the tasks without a line in the file."""
    there = {key_of(record) for record in read(file)}
    return [task for task in wanted if task.key not in there]


def run_all(file: Path, wanted: Sequence[Task], jobs: int, say: Callable[[str], None]) -> list[str]:
    """Run tasks in parallel processes and append their lines. Returns the errors of the tasks that raised.

    With one job, this process runs the tasks.
    """
    if jobs == 1:
        return _keep(file, map(_attempt, wanted), len(wanted), say)
    # only the parent handles Ctrl-C
    with get_context("spawn").Pool(jobs, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        return _keep(file, pool.imap_unordered(_attempt, wanted), len(wanted), say)


def _keep(
    file: Path, results: Iterable[tuple[Task, Record | str]], count: int, say: Callable[[str], None]
) -> list[str]:
    wrong = []
    for number, (task, record) in enumerate(results, 1):
        where = f"{number} of {count}: {task}"
        if isinstance(record, str):
            wrong.append(f"{task}: {record}")
            say(f"{where}: {record}")
            continue
        append(file, record)
        say(f"{where}: {task.summary(record)}")
    return wrong


def _attempt(task: Task) -> tuple[Task, Record | str]:
    try:
        return task, task.run()
    except Exception as error:  # any tool may raise; the other tasks continue
        return task, f"{type(error).__name__}: {error}"


def fingerprint(files: Iterable[Path]) -> str:
    """Return a hash of the code in Python files. Comments, docstrings and the layout do not change the hash."""
    code = "".join(ast.dump(_without_docstrings(ast.parse(file.read_text()))) for file in files)
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return tree
