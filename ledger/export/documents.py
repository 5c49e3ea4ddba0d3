"""Exports a study as one document. The format of the document is csv, json or jsonl.

An export reads one part of the study, writes this part to the document, and then reads the next part.
"""

import csv
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import chain
from typing import Any, TextIO, TypeVar

from sqlalchemy import Connection

from ledger.database import annotations, codes, datasets, reports, studies, transfer, trials, verdicts
from ledger.database.rows import AttemptRow, StudyRow, TrialRow, export_columns, exported
from ledger.study.choices import choice_texts
from ledger.text import printable

_Page = TypeVar("_Page")
_TRIAL = export_columns(TrialRow)
# The name and the version of the json format that `ledger import` reads. The version increases when the keys of the
# document change, or when the meaning of a key changes.
FORMAT, VERSION = "trial-ledger study", 1
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# A spreadsheet evaluates a cell as a formula if the cell begins with =, +, -, @, a tab or a line break. With Japanese
# language settings, a spreadsheet also evaluates formulas that begin with the full-width forms of =, +, - or @. A
# spreadsheet may treat a semicolon, a tab or a line break inside a text as the end of a cell.
_FORMULA = re.compile(r"(^|[;\t\n\r])(?=[=+\-@\t\n\r\uff1d\uff0b\uff0d\uff20])")


def write_json(connection: Connection, study: StudyRow, output: TextIO) -> None:
    """Write ``{"format": …, "version": …, "study": {…}, "iterations": […], "trials": […], "attempts": […], …}``.

    The document contains everything that the ledger has recorded about the study, except the claims. The list "workers"
    of the document contains the workers that have claimed a trial of the study. The list "code_versions" contains the
    versions of the objective's code. The object "sources" maps the SHA-256 of each source text to the source text. The
    list "reports" contains the reports of all attempts. The lists "cutoffs", "verdicts" and "promotions" contain
    the cutoffs, the verdicts and the promotions of early stopping. The list "annotations" contains the annotation of
    the study, and the annotations of the trials. If the study trains on a data file, the key "dataset" contains the
    whole data file in base64. If the study has a hold-out file, the key "holdout" contains the whole hold-out file in
    base64.
    """
    output.write(f'{{\n"format": {_json(FORMAT)},\n"version": {VERSION},\n"study": {_json(exported(study))}')
    versions = codes.versions_of(connection, study.id)
    cutoffs, decided, promoted = verdicts.all_of(connection, study.id)
    workers: set[str] = set()
    # The values of `lists` are functions, so that `write_json` does not keep all lists in memory at the same time.
    lists: dict[str, Callable[[], Iterable[Mapping[str, Any]]]] = {
        "iterations": lambda: map(exported, chain.from_iterable(studies.iteration_pages(connection, study.id))),
        "trials": lambda: _trials(connection, study),
        "attempts": lambda: map(exported, _attempts(connection, study, workers)),
        "workers": lambda: map(exported, chain.from_iterable(transfer.worker_pages(connection, workers))),
        "code_versions": lambda: map(exported, versions),
        "reports": lambda: map(exported, chain.from_iterable(reports.pages(connection, study.id))),
        "cutoffs": lambda: map(exported, cutoffs),
        "verdicts": lambda: map(exported, decided),
        "promotions": lambda: map(exported, promoted),
        "annotations": lambda: map(exported, annotations.of_all(connection, study.id)),
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

    Each written JSON object is also an element of the list "trials" in the document of `write_json`.
    """
    for trial in _trials(connection, study):
        output.write(_json(trial) + "\n")


def write_csv(connection: Connection, study: StudyRow, output: TextIO, *, spreadsheet: bool = False) -> None:
    """Write one line with the names of the columns, and then one line for each trial.

    For each parameter, there is a column ``params_NAME``. For each metric, there is a column ``metrics_NAME``.
    `ledger.study.choices.choice_texts` converts a choice into a text in the csv document, such as ``null`` or ``[64,
    64]``. `ledger import` converts the text of a choice back into the choice. If `spreadsheet` is true, `write_csv`
    calls `spreadsheet_text` to convert each text.
    """
    choices = {dimension["name"]: dimension.get("choices", []) for dimension in study.spec["space"]}
    params = {name: list(zip(values, choice_texts(values), strict=True)) for name, values in choices.items()}
    metrics = list(trials.metric_names(connection, study.id))
    # The columns that contain JSON objects. The export splits a column of JSON objects into several columns, one for
    # each key of the objects.
    expanded = {"params": list(params), "metrics": metrics}
    header: list[str | None] = []
    for name in _TRIAL:
        header += [f"{name}_{key}" for key in expanded[name]] if name in expanded else [name]
    writer = csv.writer(output, lineterminator="\n")
    for page in chain([[header]], _read_ahead(trials.cell_pages(connection, study.id, params, metrics))):
        if spreadsheet:
            writer.writerows([None if cell is None else spreadsheet_text(cell) for cell in row] for row in page)
        else:
            writer.writerows(page)


DOCUMENTS: Mapping[str, Callable[[Connection, StudyRow, TextIO], None]] = {
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_jsonl,
}


def spreadsheet_text(text: str) -> str:
    """Change a text so that no spreadsheet evaluates the text as a formula, and return the changed text.

    `spreadsheet_text` also escapes unprintable characters.

    Examples
    --------
    >>> spreadsheet_text("=1+1"), spreadsheet_text("-1.5"), spreadsheet_text("rbf")
    ("'=1+1", '-1.5', 'rbf')
    """
    return text if _NUMBER.fullmatch(text) else printable(_FORMULA.sub(r"\1'", text))


def _read_ahead(pages: Iterator[_Page]) -> Iterator[_Page]:
    """Yield the same pages. While the caller uses a page, a thread reads the next page.

    The database and this process then work at the same time. Until the thread has read the last page, no other code
    uses the connection.
    """
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(next, pages, None)
        while (page := reading.result()) is not None:
            reading = reader.submit(next, pages, None)
            yield page


def _trials(connection: Connection, study: StudyRow) -> Iterator[dict[str, Any]]:
    for row in chain.from_iterable(trials.recorded_pages(connection, study.id)):
        yield dict(zip(_TRIAL, row, strict=True))


def _attempts(connection: Connection, study: StudyRow, workers: set[str]) -> Iterator[AttemptRow]:
    """Yield the attempts of a study, and add the name of each attempt's worker to `workers`."""
    for page in trials.attempt_pages(connection, study.id):
        workers.update(attempt.worker for attempt in page)
        yield from page


def _json(value: Any) -> str:
    return json.dumps(value, default=_moment)


def _moment(value: Any) -> str:
    assert isinstance(value, datetime), value
    return value.isoformat()
