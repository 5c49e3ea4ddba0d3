"""csv, json and jsonl: one document of a study, written as it is read."""

import csv
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TextIO

from ledger.database.store import AnyRow, Store, StudyRow

_TRIAL = (
    "number",
    "iteration",
    "round",
    "source",
    "retry_of",
    "params",
    "state",
    "loss",
    "metrics",
    "attempts",
    "failures",
    "lost",
    "worker",
    "available_at",
    "claimed_at",
    "lease_until",
    "deadline_at",
    "finished_at",
    "error",
)
# not the claim: it is the right to write, and belongs to its holder alone
_ATTEMPT = ("trial", "number", "worker", "claimed_at", "ended_at", "outcome", "loss", "seconds", "error")
_ITERATION = (
    "number",
    "round",
    "size",
    "asked_at",
    "told_at",
    "ask_seconds",
    "tell_seconds",
    "mean_loss",
    "best_loss",
    "surrogate",
    "environment",
    "seen",
)
_STUDY = ("name", "state", "reason", "iterations", "created_at", "finished_at", "spec", "spec_hash", "versions")
_WORKER = ("name", "host", "pid", "versions", "started_at", "last_seen_at", "stopped_at")
# Of the json document, which `ledger import` reads: another version has other keys or other meanings.
FORMAT, VERSION = "trial-ledger study", 1


def write_json(store: Store, study: StudyRow, output: TextIO) -> None:
    """Write ``{"format": …, "version": …, "study": {…}, "iterations": […], "trials": […], "attempts": […], …}``.

    It is all that the ledger records of the study but claims; the last list has the "workers" that trained for it.
    Where the study trains on a file, "dataset" has that, whole, in base64.
    """
    head = {name: getattr(study, name) for name in _STUDY}
    output.write(f'{{\n"format": {_json(FORMAT)},\n"version": {VERSION},\n"study": {_json(head)}')
    # each is read when it is written
    lists: dict[str, Callable[[], Iterable[Mapping[str, Any]]]] = {
        "iterations": lambda: (_pick(row, _ITERATION) for row in store.iterations(study.id)),
        "trials": lambda: _trials(store, study),
        "attempts": lambda: (_pick(row, _ATTEMPT) for page in store.attempt_pages(study.id) for row in page),
        "workers": lambda: (_pick(row, _WORKER) for row in store.workers_of(study.id)),
    }
    for name, rows in lists.items():
        output.write(f',\n"{name}": [')
        for index, row in enumerate(rows()):
            output.write((",\n" if index else "\n") + _json(row))
        output.write("]")
    data = study.spec["objective"].get("data")
    if data is not None:
        output.write(f',\n"dataset": {{"sha256": {_json(data["sha256"])}, "name": {_json(data["name"])}, "content": "')
        for piece in store.dataset_pieces(data["sha256"]):
            output.write(b64encode(piece).decode())
        output.write('"}')
    output.write("\n}\n")


def write_jsonl(store: Store, study: StudyRow, output: TextIO) -> None:
    """Write one trial a line, each as in the json document."""
    for trial in _trials(store, study):
        output.write(_json(trial) + "\n")


def write_csv(store: Store, study: StudyRow, output: TextIO) -> None:
    """Write one trial a line, with a column ``params_NAME`` for each parameter and ``metrics_NAME`` for each metric."""
    columns = {
        "params": [dimension["name"] for dimension in study.spec["space"]],
        "metrics": list(store.metric_names(study.id)),
    }
    header = [
        column
        for name in _TRIAL
        for column in ([f"{name}_{key}" for key in columns[name]] if name in columns else [name])
    ]
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(header)
    for trial in _trials(store, study):
        cells: list[Any] = []
        for name in _TRIAL:
            if name in columns:
                values = trial[name] or {}
                cells += [_cell(values.get(key)) for key in columns[name]]
            else:
                cells.append(_cell(trial[name]))
        writer.writerow(cells)


DOCUMENTS: Mapping[str, Callable[[Store, StudyRow, TextIO], None]] = {
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_jsonl,
}


def _trials(store: Store, study: StudyRow) -> Iterator[dict[str, Any]]:
    return (_pick(row, _TRIAL) for page in store.trial_pages(study.id) for row in page)


def _pick(row: AnyRow, names: Iterable[str]) -> dict[str, Any]:
    return {name: row._mapping[name] for name in names}


def _json(value: Any) -> str:
    return json.dumps(value, default=_moment)


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list | bool):
        return json.dumps(value)
    return _moment(value) if isinstance(value, datetime) else value


def _moment(value: Any) -> str:
    assert isinstance(value, datetime), value
    return value.isoformat()
