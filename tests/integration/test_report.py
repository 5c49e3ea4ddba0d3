"""Files of `ledger report` and `ledger export --format parquet`, for a study of a real manager."""

import importlib.util
import json
import struct
import uuid

import pandas
import pyarrow.parquet as pq
import pytest

from ledger.cli import program
from ledger.database import protocol, trials
from ledger.errors import LedgerError, UsageError
from ledger.manager.registration import register
from ledger.study.file import assemble
from tests import browser
from tests.integration.ledgers import claim_one, managed

SPACE = """
[study]
name = "s"
iterations = 3
batch_size = 3
[space]
C = { type = "real", low = 1e-3, high = 1e3, prior = "log-uniform" }
degree = { type = "integer", low = 2, high = 9 }
kernel = { type = "categorical", choices = ["rbf", "poly"] }
shrinking = { type = "categorical", choices = [true, false] }
cache_size = { type = "categorical", choices = [200, 0.5] }
gamma = { type = "categorical", choices = ["scale", 0.1] }
"""


@pytest.fixture
def study(db, connection, tmp_path):
    """Nine trials of one worker, one of which failed three times."""
    file = tmp_path / "s.toml"
    file.write_text(SPACE)

    def work(_progress):
        while (held := claim_one(connection, "s", uuid.uuid4(), "w")) is not None:
            if held.trial == 4:
                protocol.fail(connection, held, "ValueError: no", 0.5)
            else:
                metrics = {"accuracy": held.params["C"] / 1e3, "note": "n", "even": held.trial % 2 == 0, "l": [1]}
                protocol.complete(connection, held, held.params["C"], metrics, 0.25)

    return managed(db, register(db, assemble({}, file)), work).run()


@pytest.fixture
def ledger(url):
    def run(*arguments):
        program.main([*arguments, "--database-url", url], standalone_mode=False)

    return run


def test_the_report_of_a_study_is_one_file_that_the_command_names(study, ledger, tmp_path, capsys):
    output = tmp_path / "report.html"
    ledger("report", "s", "--output", str(output))
    assert capsys.readouterr() == ("", f"report written to {output}\n")
    page = output.read_text()
    assert "8 complete" in page
    assert "of the Gaussian process of 9 observations" in page or "the Gaussian process of 9 observations" in page
    assert "ValueError: no" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "s.toml"]
    assert output.stat().st_size < 6_000_000


def test_a_study_that_runs_has_a_report(db, ledger, connection, tmp_path):
    register(db, assemble({"name": "s"}))
    output = tmp_path / "report.html"
    ledger("report", "s", "--output", str(output))
    assert "No trial has been proposed yet." in output.read_text()


def test_a_plot_as_a_picture(study, ledger, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", browser.path())
    output = tmp_path / "parameters.png"
    ledger("report", "s", "--format", "png", "--plot", "parameters", "--output", str(output))
    written = output.read_bytes()
    assert written.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", written[16:24])
    # six plots of 420 by 300 pixels in rows of three, and a title, at a scale of 2
    assert (width, height) == (2 * 3 * 420, 2 * (2 * 300 + 80))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["--output", "none/r.html"], UsageError, "none is not a folder: make it first"),
        (["--format", "png", "--output", "r.png"], UsageError, "--format png and --plot belong together"),
        (["--plot", "timeline", "--output", "r.html"], UsageError, "--format png and --plot belong together"),
        (["--output", "/proc/r.html"], LedgerError, "/proc/r.html cannot be written"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is(db, ledger, tmp_path, monkeypatch, arguments, error, said):
    monkeypatch.chdir(tmp_path)
    register(db, assemble({"name": "s"}))
    with pytest.raises(error, match=said):
        ledger("report", "s", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_parquet_has_a_row_a_trial_in_typed_columns(study, ledger, tmp_path, connection):
    output = tmp_path / "trials.parquet"
    ledger("export", "s", "--format", "parquet", "--output", str(output))
    table = pq.read_table(output)
    rows = connection.execute("select trial, params, loss, finished_at from ledger.trials order by trial").fetchall()
    types = {field.name: str(field.type) for field in table.schema}
    assert {name: type_ for name, type_ in types.items() if name.startswith(("params", "metrics"))} == {
        "params_C": "double",
        "params_degree": "int64",
        "params_kernel": "string",
        "params_shrinking": "bool",
        "params_cache_size": "double",
        "params_gamma": "string",
        "metrics_accuracy": "double",
        "metrics_even": "bool",
        "metrics_l": "string",
        "metrics_note": "string",
    }
    assert (types["number"], types["loss"], types["finished_at"]) == ("int64", "double", "timestamp[us, tz=UTC]")
    read = table.to_pylist()
    assert [row["number"] for row in read] == [row[0] for row in rows]
    assert [row["loss"] for row in read] == [row[2] for row in rows]
    assert [row["finished_at"] for row in read] == [row[3] for row in rows]
    for row, (_, params, *_) in zip(read, rows, strict=True):
        assert {name: row[f"params_{name}"] for name in ("C", "degree", "kernel", "shrinking", "cache_size")} == {
            name: value for name, value in params.items() if name != "gamma"
        }
        assert json.loads(row["params_gamma"]) == params["gamma"], "choices of several types are JSON"
    assert (read[4]["state"], read[4]["metrics_accuracy"], read[4]["error"]) == ("failed", None, "ValueError: no")
    assert json.loads(read[0]["metrics_l"]) == [1]
    facts = json.loads(table.schema.metadata[b"trial_ledger"])
    assert (facts["name"], facts["state"], facts["spec"]["seed"]) == ("s", "complete", 42)

    frame = pandas.read_parquet(output)
    assert str(frame["finished_at"].dtype.tz) == "UTC"
    assert frame["params_C"].dtype == "float64"
    assert frame.sort_values("loss", kind="stable").iloc[0]["number"] == min(rows, key=lambda row: row[2] or 1e9)[0]


def test_parquet_is_written_a_row_group_at_a_time(study, db, tmp_path, monkeypatch):
    from ledger.export import parquet

    monkeypatch.setattr(parquet, "GROUP", 4)
    output = tmp_path / "trials.parquet"
    with output.open("wb") as file:
        parquet.write_parquet(db, study, file)
    written = pq.ParquetFile(output).metadata
    assert [written.row_group(index).num_rows for index in range(written.num_row_groups)] == [4, 4, 1]


def test_a_metric_that_changes_its_type_meanwhile_leaves_no_file(study, db, ledger, tmp_path, monkeypatch):
    output = tmp_path / "trials.parquet"
    monkeypatch.setattr(trials, "metric_kinds", lambda *_: [("note", ["number"])])
    with pytest.raises(LedgerError, match="the type of the values of column metrics_note changed"):
        ledger("export", "s", "--format", "parquet", "--output", str(output))
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        (["export", "s", "--format", "parquet", "--output", "t.parquet"], "pyarrow", "parquet"),
        (["report", "s", "--format", "png", "--plot", "timeline", "--output", "r.png"], "kaleido", "png"),
    ],
)
def test_a_missing_extra_is_named(ledger, tmp_path, monkeypatch, arguments, module, extra):
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *of: None if name == module else find(name, *of))
    with pytest.raises(
        UsageError, match=rf"needs {module}, which is not installed: pip install 'trial-ledger\[{extra}\]'"
    ):
        ledger(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_parquet_needs_a_file(ledger):
    with pytest.raises(UsageError, match="name the file with --output"):
        ledger("export", "s", "--format", "parquet")
