"""Exports of a study as one document in csv, json or jsonl.

An export writes each part of the document before the next part of the study is read.
"""

import csv
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any, TextIO

from sqlalchemy import Connection

from ledger.database import codes, datasets, studies, transfer, trials
from ledger.database.rows import StudyRow, TrialRow, export_columns, exported
from ledger.study.choices import choice_key, choice_texts
from ledger.text import printable

_TRIAL = export_columns(TrialRow)
# Name and version of the format of the json document that `ledger import` reads. The version increases when the
# document's keys or the meanings of these keys change.
FORMAT, VERSION = "trial-ledger study", 1
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# A spreadsheet evaluates a cell as a formula if the cell begins with =, +, -, @, a tab or a line break. With the
# settings for a language such as Japanese, a spreadsheet also accepts the full-width forms of =, +, - and @. A
# spreadsheet may treat a semicolon, a tab or a line break inside a text as the end of a cell.
_FORMULA = re.compile(r"(^|[;\t\n\r])(?=[=+\-@\t\n\r\uff1d\uff0b\uff0d\uff20])")


def write_json(connection: Connection, study: StudyRow, output: TextIO) -> None:
    """Write ``{"format": …, "version": …, "study": {…}, "iterations": […], "trials": […], "attempts": […], …}``.

    The document contains everything that the ledger has recorded about the study, except the claims. The list "workers"
    of the document contains the workers that have claimed a trial of the study. The list "code_versions" contains the
    versions of the objective's code, and the object "sources" contains the source texts by their SHA-256. If the study
    trains on a data file, the key "dataset" contains the whole content of this file in base64. The key "holdout"
    contains the hold-out file of the study in the same form.
    """
    output.write(f'{{\n"format": {_json(FORMAT)},\n"version": {VERSION},\n"study": {_json(exported(study))}')
    versions = codes.versions_of(connection, study.id)
    # The values of `lists` are functions, so that `write_json` does not read all lists into memory at once.
    lists: dict[str, Callable[[], Iterable[Mapping[str, Any]]]] = {
        "iterations": lambda: map(exported, studies.iterations(connection, study.id)),
        "trials": lambda: _trials(connection, study),
        "attempts": lambda: map(exported, chain.from_iterable(trials.attempt_pages(connection, study.id))),
        "workers": lambda: map(exported, transfer.workers_of(connection, study.id)),
        "code_versions": lambda: map(exported, versions),
    }
    for name, rows in lists.items():
        output.write(f',\n"{name}": [')
        for index, row in enumerate(rows()):
            output.write((",\n" if index else "\n") + _json(row))
        output.write("]")
    texts = codes.texts_of(connection, (sha256 for each in versions for sha256 in each.sources.values()))
    output.write(f',\n"sources": {_json(texts)}')
    data = study.spec["objective"].get("data")
    for key, file in (("dataset", data), ("holdout", data and data.get("holdout"))):
        if file is None:
            continue
        output.write(f',\n"{key}": {{"sha256": {_json(file["sha256"])}, "name": {_json(file["name"])}, "content": "')
        for piece in datasets.pieces(connection, file["sha256"]):
            output.write(b64encode(piece).decode())
        output.write('"}')
    output.write("\n}\n")


def write_jsonl(connection: Connection, study: StudyRow, output: TextIO) -> None:
    """For each trial, write one line with a JSON object.

    The object of a trial is equal to the trial's object in the document of `write_json`.
    """
    for trial in _trials(connection, study):
        output.write(_json(trial) + "\n")


def write_csv(connection: Connection, study: StudyRow, output: TextIO, *, spreadsheet: bool = False) -> None:
    """Write a first line with the names of the columns, and then one line for each trial.

    Each parameter has a column ``params_NAME``, and each metric has a column ``metrics_NAME``. A choice has the text of
    `ledger.study.choices.choice_texts`, such as ``null`` or ``[64, 64]``, from which `ledger import` reads the choice.
    If `spreadsheet` is true, the function converts each text by `spreadsheet_text`.
    """
    texts = {dimension["name"]: _choice_texts(dimension) for dimension in study.spec["space"]}
    convert = _spreadsheet_cell if spreadsheet else _cell
    expanded = {
        "params": [dimension["name"] for dimension in study.spec["space"]],
        "metrics": list(trials.metric_names(connection, study.id)),
    }
    header = [
        column
        for name in _TRIAL
        for column in ([f"{name}_{key}" for key in expanded[name]] if name in expanded else [name])
    ]
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(map(convert, header))
    for trial in _trials(connection, study):
        cells: list[Any] = []
        for name in _TRIAL:
            if name in expanded:
                values = trial[name] or {}
                if name == "params":
                    values = {key: _param(value, texts.get(key, {})) for key, value in values.items()}
                cells += [convert(values.get(key)) for key in expanded[name]]
            else:
                cells.append(convert(trial[name]))
        writer.writerow(cells)


DOCUMENTS: Mapping[str, Callable[[Connection, StudyRow, TextIO], None]] = {
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_jsonl,
}


def spreadsheet_text(text: str) -> str:
    """Return a text in a form that no spreadsheet evaluates as a formula.

    The function also escapes unprintable characters.

    Examples
    --------
    >>> spreadsheet_text("=1+1"), spreadsheet_text("-1.5"), spreadsheet_text("rbf")
    ("'=1+1", '-1.5', 'rbf')
    """
    return text if _NUMBER.fullmatch(text) else printable(_FORMULA.sub(r"\1'", text))


def _trials(connection: Connection, study: StudyRow) -> Iterator[dict[str, Any]]:
    return map(exported, chain.from_iterable(trials.pages(connection, study.id)))


def _json(value: Any) -> str:
    return json.dumps(value, default=_moment)


def _choice_texts(dimension: Mapping[str, Any]) -> dict[str, str]:
    choices = dimension.get("choices", [])
    return dict(zip(map(choice_key, choices), choice_texts(choices), strict=True))


def _param(value: Any, texts: Mapping[str, str]) -> Any:
    return texts.get(choice_key(value), value) if texts else value


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list | bool):
        return json.dumps(value)
    return _moment(value) if isinstance(value, datetime) else value


def _spreadsheet_cell(value: Any) -> Any:
    cell = _cell(value)
    return spreadsheet_text(cell) if isinstance(cell, str) else cell


def _moment(value: Any) -> str:
    assert isinstance(value, datetime), value
    return value.isoformat()
