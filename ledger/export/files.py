"""Export of a study as small JSON files.

Each trial has a file with the trial's parameters. Each complete trial also has a file with the trial's results. Each
trial with reports also has a file with the reports.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from ledger.database import reports, trials
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, UsageError


def write_files(connection: Connection, study: StudyRow, folder: Path) -> int:
    """For each trial, write a file with the trial's parameters.

    For each complete trial, the function also writes a file with the trial's results. If a trial has reports, the
    function also writes a file with the reports. The file omits each report that a later attempt has replaced.

    The names of the files are ``hyperparams_<iteration>_<i>.json``, ``results_<iteration>_<i>.json`` and
    ``reports_<iteration>_<i>.json``. In the name of a file, `i` is the number of the trial in its iteration. The first
    trial of an iteration has `i` = 0. The function returns the number of files that it has written.

    Raises
    ------
    UsageError
        `folder` is not a folder.
    """
    check_folder(folder)
    written = 0
    iteration, index = -1, 0
    for page in trials.pages(connection, study.id):
        reported = reports.of_trials(connection, study.id, page[0].number, page[-1].number)
        for trial in page:
            index = index + 1 if trial.iteration == iteration else 0
            iteration = trial.iteration
            contents: dict[str, Any] = {"hyperparams": trial.params}
            if trial.state == "complete":
                contents["results"] = {"value": trial.value, "loss": trial.loss, **(trial.metrics or {})}
            if trial.number in reported:
                contents["reports"] = [
                    {**(report.metrics or {}), "step": report.step, "value": report.value}
                    for report in reported[trial.number]
                ]
            for kind, content in contents.items():
                with whole_file(folder / f"{kind}_{iteration}_{index}.json") as file:
                    json.dump(content, file)
                written += 1
    return written


@contextmanager
def whole_file(path: Path, *, binary: bool = False) -> Iterator[Any]:
    """Open a new file, and yield the open file.

    If `binary` is true, the file is a binary file. If `binary` is false, the file is a text file.

    The file appears at `path` only if the ``with`` block ends without an error. `whole_file` raises the same exceptions
    as `whole_path`.
    """
    with whole_path(path) as part, part.open("wb") if binary else part.open("w", newline="") as file:
        yield file


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Yield the path of an empty temporary file.

    If the ``with`` block ends without an error, the context manager renames the temporary file to `path`. If the
    ``with`` block raises an error, the context manager removes the temporary file.

    Raises
    ------
    UsageError
        The folder of `path` does not exist.
    LedgerError
        The file at `path` cannot be written.
    """
    check_folder(path.parent)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        part = Path(name)
        try:
            yield part
            os.fsync(descriptor)
            umask = os.umask(0)
            os.umask(umask)
            part.chmod(0o666 & ~umask)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror}; no partial file remains") from None


def check_folder(folder: Path) -> None:
    """Raise UsageError if `folder` is not a folder."""
    try:
        there = folder.is_dir()
    except OSError:  # The name of the folder is too long for the file system.
        there = False
    if not there:
        raise UsageError(f"--output: {folder} is not a folder: make it first")
