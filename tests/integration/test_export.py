"""Exports equal the content of the ledger, are streamed, and appear only when they are complete."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
import tracemalloc
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from ledger.database import protocol, studies, trials
from ledger.errors import UsageError
from ledger.export.documents import write_csv, write_json, write_jsonl
from ledger.export.files import whole_file, write_files
from tests.fuzz import run
from tests.integration.ledgers import add_iteration, make_study, take


@pytest.fixture
def study(db, connection):
    """Two iterations of two trials: one complete, one failed once and then complete, two pending."""
    row = make_study(db, trials=2)
    add_iteration(db, row, 1, 2)
    protocol.complete(connection, take(connection), 0.25, {"accuracy": 0.75}, 1.5)
    protocol.fail(connection, take(connection), "ValueError: no", 0.5)
    protocol.complete(connection, take(connection), 0.5, {"accuracy": 0.5}, 1.0)
    return studies.get(db, "s")


def text(write, db, study):
    output = io.StringIO()
    write(db, study, output)
    return output.getvalue()


def test_the_json_document_says_what_the_ledger_holds(db, study, connection):
    written = text(write_json, db, study)
    document = json.loads(written)
    lists = ["iterations", "trials", "attempts", "workers", "code_versions", "reports", "cutoffs", "verdicts"]
    assert list(document) == ["format", "version", "study", *lists, "promotions", "annotations", "sources"]
    assert document["study"]["name"] == "s"
    assert [row["size"] for row in document["iterations"]] == [2, 2]
    assert [trial["state"] for trial in document["trials"]] == ["complete", "complete", "pending", "pending"]
    trial = document["trials"][1]
    wanted = {"number", "iteration", "source", "params", "state", "value", "loss", "metrics", "attempts", "worker"}
    wanted |= {"claimed_at", "finished_at"}
    assert wanted <= set(trial)
    assert (trial["loss"], trial["metrics"], trial["attempts"], trial["worker"]) == (0.5, {"accuracy": 0.5}, 2, "w")
    assert trial["finished_at"].endswith("+00:00")
    outcomes = [(attempt["trial"], attempt["number"], attempt["outcome"]) for attempt in document["attempts"]]
    assert outcomes == [(0, 1, "complete"), (1, 1, "failed"), (1, 2, "complete")]
    for (claim,) in connection.execute("select claim::text from ledger.attempt").fetchall():
        assert claim not in written, "a claim belongs to its holder alone"


def test_jsonl_is_a_trial_a_line_and_csv_a_column_a_parameter(db, study):
    lines = [json.loads(line) for line in text(write_jsonl, db, study).splitlines()]
    assert lines == json.loads(text(write_json, db, study))["trials"]
    rows = list(csv.DictReader(io.StringIO(text(write_csv, db, study))))
    assert [float(row["params_C"]) for row in rows] == [line["params"]["C"] for line in lines]
    assert [row["metrics_accuracy"] for row in rows] == ["0.75", "0.5", "", ""]
    assert [row["loss"] for row in rows] == ["0.25", "0.5", "", ""]


def meant(value: Any) -> Any:
    """Return what a reader of a csv cell makes of a value's text."""
    if value is None:
        return ""
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def test_the_cells_of_a_csv_mean_the_values_of_the_trials(db, study, connection):
    metrics = {
        "text": 'a "b", c\nd\re',
        "100 %s": "%",
        "list": [1, {"a": "b,c"}],
        "bool": True,
        "big": 10**30,
        "float": 1e22,
        "small": 1e-7,
        "none": None,
        "": "",
    }
    moments = ("2026-01-31 12:00:00+00", "2026-01-31 12:00:00.5+00", "2026-01-31 12:00:00.123450+01", "1970-01-02+00")
    protocol.complete(connection, take(connection), 3.0, metrics, 1.0)
    for number, moment in enumerate(moments):
        # A complete trial cannot change. A trial that has not ended may have any time of its availability.
        connection.execute(
            "insert into ledger.trial (study_id, number, iteration, round, source, params, available_at, error, worker)"
            " values (%s, %s, 1, 0, 'proposed', %s, %s, %s, %s)",
            (study.id, 10 + number, Jsonb({"C": 1 + number}), moment, "a,b\n" * number, '"w"' * number),
        )
    header, *rows = csv.reader(io.StringIO(text(write_csv, db, study), newline=""))
    known = trials.all_of(db, study.id)
    assert len(rows) == len(known) == 8
    for row, trial in zip(rows, known, strict=True):
        documents = {"params": trial.params, "metrics": trial.metrics or {}}
        for name, cell in zip(header, row, strict=True):
            kind, _, key = name.partition("_")
            value = meant(documents[kind].get(key) if kind in documents else getattr(trial, name))
            assert (cell if isinstance(value, str) else json.loads(cell)) == value, name
    exported = [json.loads(line)["available_at"] for line in text(write_jsonl, db, study).splitlines()]
    assert exported == [trial.available_at.isoformat() for trial in known]


def test_a_csv_has_a_column_for_each_of_thousands_of_metrics(db, study, connection):
    metrics = {f"m{number}": number for number in range(5_000)}
    protocol.complete(connection, take(connection), 3.0, metrics, 1.0)
    rows = list(csv.DictReader(io.StringIO(text(write_csv, db, study))))
    found = [{name: row[f"metrics_{name}"] for name in metrics} for row in rows]
    assert {name: str(number) for name, number in metrics.items()} in found


def test_a_csv_for_a_spreadsheet_or_a_terminal_is_harmless(db, study, connection, url, tmp_path):
    evil = "=cmd|' /C calc'!A0\x1b]0;owned\x07"
    protocol.complete(connection, take(connection), 0.125, {"note": evil, "=name": 1}, 1.0)
    export, file = ["export", "s", "--format", "csv"], tmp_path / "s.csv"
    assert run([*export, "--spreadsheet", "--output", str(file)], {"DATABASE_URL": url})[0] == 0
    rows = list(csv.DictReader(io.StringIO(file.read_text(), newline="")))
    assert rows[2]["metrics_note"] == "'=cmd|' /C calc'!A0\\x1b]0;owned\\x07"
    assert (rows[2]["loss"], rows[2]["metrics_=name"]) == ("0.125", "1")
    # programs read the texts as they are
    code, out, _ = run(export, {"DATABASE_URL": url})
    assert code == 0
    assert [row["metrics_note"] for row in csv.DictReader(io.StringIO(out, newline=""))][2] == evil
    code, out, error = run(["export", "s", "--spreadsheet"], {"DATABASE_URL": url})
    assert (code, out) == (2, "")
    assert "--format csv" in error
    terminal, standard_output = pty.openpty()
    command = [sys.executable, "-m", "ledger", *export]
    subprocess.run(command, check=True, stdout=standard_output, env={**os.environ, "DATABASE_URL": url})
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    os.close(standard_output)
    assert "/C calc" in shown
    assert shown.replace("\r\n", "").isprintable()


def test_files_are_named_by_iteration_and_place_within_it(db, study, tmp_path):
    assert write_files(db, study, tmp_path) == 6
    names = sorted(path.name for path in tmp_path.iterdir())
    hyperparams = [f"hyperparams_{iteration}_{i}.json" for iteration in (0, 1) for i in (0, 1)]
    assert names == [*hyperparams, "results_0_0.json", "results_0_1.json"]
    assert json.loads((tmp_path / "hyperparams_1_0.json").read_text()) == {"C": 101.0}
    assert json.loads((tmp_path / "results_0_1.json").read_text()) == {"value": 0.5, "loss": 0.5, "accuracy": 0.5}


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    old = tmp_path / "old.json"
    old.write_text("old")
    with pytest.raises(RuntimeError), whole_file(old) as file:
        file.write("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert old.read_text() == "old"
    with pytest.raises(UsageError, match="is not a folder: make it first"), whole_file(tmp_path / "none" / "a.json"):
        pass


def test_an_export_streams_in_pages_and_holds_no_snapshot(db, study, connection, url):
    connection.execute(
        "insert into ledger.trial (study_id, number, iteration, round, source, params, available_at)"
        " select %s, n, 1, 0, 'proposed', jsonb_build_object('C', n), now() from generate_series(1000, 30999) as n",
        (study.id,),
    )
    pages = trials.pages(db, study.id)
    next(pages)
    states = connection.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and xact_start is not null"
        " and pid <> pg_backend_pid() and backend_type = 'client backend'"
    ).fetchone()
    assert states == (0,)

    class Counter(io.StringIO):
        size = 0

        def write(self, text: str) -> int:
            self.size += len(text)
            return len(text)

    counter = Counter()
    tracemalloc.start()
    write_json(db, study, counter)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < counter.size / 2
    with psycopg.connect(url) as other:
        assert other.execute("select count(*) from ledger.trial").fetchone() == (30004,)
