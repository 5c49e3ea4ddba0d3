"""The fuzz targets. Each target accepts any bytes, or raises an exception that states a broken promise."""

import functools
import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ledger.database.bounds import LARGEST_REPORT, LARGEST_STEP
from ledger.errors import LedgerError, UsageError
from ledger.imports import document
from ledger.imports.history import gather
from ledger.imports.table import read_rows
from ledger.objectives import tabular
from ledger.objectives.command_result import ReportParser, from_output
from ledger.objectives.result import InvalidResultError, checked_metrics, to_result
from ledger.objectives.table_checks import check_rows
from ledger.objectives.table_columns import ColumnRoles
from ledger.study.file import assemble, workers
from ledger.study.points import read_lines
from ledger.study.space import Space
from ledger.study.spec import StudySpec
from ledger.text import one_line
from ledger.worker.channel import SupervisorChannel
from ledger.worker.outcome import MalformedAnswerError, TrainerAnswer, parse_answer

CORPUS = Path(__file__).parent / "corpus"
# A pipe holds this number of bytes, so the target never waits for a reader.
_PIPE = 60_000


def answers(content: bytes) -> None:
    """A trainer's answers are outcomes, or the supervisor refuses them in one line."""
    channel = SupervisorChannel()
    try:
        os.write(channel.trainer_descriptors[1], content[:_PIPE] + b"\n")
        channel.close_trainer_end()
        try:
            lines, is_closed = channel.read()
            for line in lines:
                assert isinstance(parse_answer(line, trains=True), TrainerAnswer)
        except MalformedAnswerError as refused:
            _check_line(str(refused))
        else:
            assert is_closed
    finally:
        channel.close()


def study_file(content: bytes) -> None:
    """A study file is refused in one line, or gives a study that its spec describes completely."""
    file = _folder() / "study.toml"
    file.write_bytes(content)
    try:
        study = assemble({}, file)
    except UsageError as refused:
        message = str(refused)
        _check_line(message)
        assert message.startswith(str(file)), message
        return
    recorded = json.loads(json.dumps(study.spec(), allow_nan=False))
    assert StudySpec.from_spec(study.name, study.budget, recorded).spec_hash == study.spec_hash
    workers(file)


def export(content: bytes) -> None:
    """A json export is refused in one line, or is a study whose records agree with each other."""
    try:
        read = document.read("export.json", content)
    except LedgerError as refused:
        _check_line(one_line(str(refused), 1_500))
        return
    read.snapshot()
    read.kept()


def table(content: bytes) -> None:
    """A csv file of finished trials is refused in one line, or each of its points belongs to the space."""
    space = _space()
    try:
        history = gather(
            "old.csv",
            read_rows("old.csv", content, "loss", space, ignore_extra=b"x" in content[:1]),
            space,
            {},
            skip_unusable=len(content) % 2 == 0,
        )
    except UsageError as refused:
        _check_line(one_line(str(refused), 1_500))
        return
    for finished in history.finished:
        assert math.isfinite(finished.loss)
        assert repr(space.normalise(finished.params)) == repr(finished.params)


def points(content: bytes) -> None:
    """A file of points is refused in one line, or each of its points belongs to the space."""
    space = _space()
    try:
        read = read_lines(space, "points.jsonl", content)
    except UsageError as refused:
        _check_line(one_line(str(refused), 1_500))
        return
    for point in read:
        assert repr(space.normalise(point)) == repr(point)


def dataset(content: bytes) -> None:
    """A csv file to train on is refused in one line, or gives finite or missing numbers, and classes or numbers."""
    try:
        read = tabular.read(content, "csv", ColumnRoles("kind"), "t.csv")
    except UsageError as refused:
        _check_line(one_line(str(refused), 1_500))
        return
    rows = len(read.targets)
    assert read.features.shape[0] == rows > 0
    assert all(math.isnan(number) or math.isfinite(number) for row in read.features.tolist() for number in row)
    if read.labels is None:
        assert all(math.isfinite(number) for number in read.targets.tolist())
    else:
        assert set(read.targets.tolist()) == set(range(len(read.labels)))
    try:
        check_rows(read, None, "kind", "t.csv")
    except UsageError as refused:
        _check_line(one_line(str(refused), 1_500))


def command_output(content: bytes) -> None:
    """The standard output of a command is a result that the ledger can store, or is refused in one line.

    Each report in the output has a step that the ledger can store. The metrics of a report are numbers that the ledger
    can store, or are refused in one line.
    """
    for step, _, metrics in ReportParser().read(content):
        assert 0 <= step <= LARGEST_STEP
        try:
            known = checked_metrics(metrics)
        except InvalidResultError as refused:
            _check_line(str(refused))
        else:
            assert all(math.isfinite(number) for number in known.values())
            assert len(json.dumps(known, ensure_ascii=False).encode()) <= LARGEST_REPORT
    try:
        result = to_result(from_output(content, len(content)))
    except InvalidResultError as refused:
        _check_line(str(refused))
        return
    assert math.isfinite(result.loss)
    assert json.loads(json.dumps(result.metrics, allow_nan=False)) == result.metrics


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (answers, command_output, study_file, export, table, points, dataset)
}


def _check_line(message: str) -> None:
    assert message.isprintable(), repr(message)
    assert len(message) <= 2_000


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="ledger-fuzz-"))


@functools.cache
def _space() -> Space:
    return Space.from_toml(
        {
            "C": {"type": "real", "low": 0.001, "high": 1000.0, "prior": "log-uniform"},
            "depth": {"type": "integer", "low": 1, "high": 9},
            "kernel": {"type": "categorical", "choices": ["rbf", "a,b", 2, True, None, (64, 64), {"a": [None]}]},
        }
    )
