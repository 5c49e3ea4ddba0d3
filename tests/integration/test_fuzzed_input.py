"""Fuzzed input on a real ledger: no traceback, no partial write, and complete results."""

import copy
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.database import protocol, studies
from ledger.database.bounds import LONGEST_NAME, shortened
from ledger.objectives import InvalidResultError
from ledger.objectives.result import to_result
from tests.fuzz import arguments, cases, check_told, run, texts, toml
from tests.integration.ledgers import make_study, take
from tests.unit.test_fuzzed_input import FILE, mutated, returns
from tests.unit.test_space import jsonb

TABLES = (
    "study",
    "manager",
    "iteration",
    "trial",
    "attempt",
    "worker",
    "dataset",
    "code_version",
    "source",
    "alembic_version",
)


def contents(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Return a digest of all rows of all tables."""
    counted = "select count(*), md5(string_agg(t::text, '|' order by t::text)) from ledger.{} as t"
    return {table: connection.execute(counted.format(table)).fetchone() for table in TABLES}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def filled(db, connection) -> dict[str, Any]:
    """A ledger with a study svm-1, of which one trial is complete, one failed once, one runs and one is pending."""
    make_study(db, "svm-1")
    protocol.complete(connection, take(connection, "svm-1"), 0.25, {"accuracy": 0.75}, 1.0)
    protocol.fail(connection, take(connection, "svm-1"), "ValueError: no", 1.0)
    take(connection, "svm-1")
    return contents(connection)


names = arguments | st.sampled_from(["svm-2", "SVM-1", "svm-1 ", "svm%", "svm_1", "%", "'svm-1'"])
NAMED = (
    *(["study", "show"], ["study", "pause"], ["study", "cancel"], ["study", "delete", "--yes"]),
    *(["export"], ["export", "--format", "csv", "--output", "out.csv"], ["resume", "--workers", "0"]),
)


@cases(30)
@given(command=st.sampled_from(NAMED), name=names)
@example(command=["study", "delete", "--yes"], name="%")
@example(command=["study", "show"], name="\udcff")
@example(command=["export"], name="x" * 100_000)
def test_a_name_that_is_no_studys_changes_nothing(url, connection, tmp_path, filled, command, name):
    code, out, error = run([*command, "--", name], {"DATABASE_URL": url})
    check_told(code, error)
    assert out == ""
    assert contents(connection) == filled
    assert not (tmp_path / "out.csv").exists()


@cases(50)
@given(file=mutated())
@example(file={**copy.deepcopy(FILE), "limits": {"lease": 1.0}})
def test_a_bad_study_file_or_one_that_differs_changes_nothing(url, connection, tmp_path, filled, file):
    Path("study.toml").write_bytes(toml(file).encode())
    # a study with this name and other settings exists
    code, out, error = run(["manager", "study.toml", "--name", "svm-1"], {"DATABASE_URL": url})
    check_told(code, error)
    assert out == ""
    assert contents(connection) == filled


BAD = (
    *(
        ["manager", "--batch-size"],
        ["manager", "--iterations"],
        ["run", "--workers"],
        ["resume", "svm-1", "--iterations"],
    ),
    *(["resume", "svm-1", "--workers"], ["worker", "--max-trials"], ["worker", "--threads"], ["manager", "--seed"]),
    *(
        ["export", "svm-1", "--format"],
        ["manager", "--model"],
        ["manager", "--acq-func"],
        ["db", "upgrade", "--log-level"],
    ),
)


@cases(50)
@given(words=st.sampled_from(BAD), value=arguments.map(lambda text: f"{text}!"))
def test_a_bad_option_changes_nothing(url, connection, filled, words, value):
    code, out, error = run([*words, value], {"DATABASE_URL": url})
    check_told(code, error)
    assert (code, out) == (2, "")
    assert contents(connection) == filled


@cases(20)
@given(output=arguments, format_=st.sampled_from(["csv", "json", "jsonl", "files"]))
@example(output="no/such/folder/x.csv", format_="csv")
@example(output="x" * 300, format_="json")
def test_an_export_to_any_path_changes_nothing_in_the_ledger(url, connection, tmp_path, filled, output, format_):
    target = output.replace("/", "_")
    code, _, error = run(["export", "svm-1", "--format", format_, f"--output={target}"], {"DATABASE_URL": url})
    if code:
        check_told(code, error)
    assert contents(connection) == filled


# Results


@cases(30)
@given(returned=returns)
@example(returned={"loss": 5e-324, "accuracy": "high"})
@example(returned={"loss": -1.7976931348623157e308, "accuracy": 10**400})
@example(returned={"loss": 1, "accuracy": 1e-320})
@example(returned={"loss": 1, "accuracy": {"accuracy": None}})
def test_what_an_objective_returns_is_stored_whole_or_is_a_failure(url, db, connection, returned):
    row = make_study(db, f"s{uuid.uuid4().hex[:8]}", trials=1)
    held = take(connection, row.name)
    refused = ""
    try:
        result = to_result(returned)
    except InvalidResultError as why:
        refused = str(why)
    if refused:
        assert protocol.fail(connection, held, refused, 1.0) == "retry"
        stored = connection.execute("select error from ledger.attempt where claim = %s", (held.claim,)).fetchone()
        assert stored == (refused,)
    else:
        assert protocol.complete(connection, held, result.loss, result.metrics, 1.0) == "recorded"
        stored = connection.execute("select loss, metrics from ledger.trial where study_id = %s", (row.id,)).fetchone()
        assert stored == (result.loss, jsonb(result.metrics))
    for view in ("best_trials", "convergence", "progress"):
        connection.execute(f"select * from ledger.{view} where study = %s", (row.name,)).fetchall()
    for command in (["export", "--format", "csv"], ["study", "show"]):
        code, _, error = run([*command, row.name], {"DATABASE_URL": url})
        assert code == 0, error
    assert studies.delete(db, row) == "deleted"


@cases(20)
@given(error=st.text(st.characters(), max_size=200), worker=texts.filter(lambda name: len(name) <= LONGEST_NAME))
@example(error="\0\ud800", worker="w")
@example(error="", worker="")
@example(error="x" * 1_000_000, worker="w")
def test_any_text_of_an_error_is_kept(url, db, connection, error, worker):
    row = make_study(db, f"s{uuid.uuid4().hex[:8]}", trials=1, max_failures=1)
    held = take(connection, row.name, worker)
    assert protocol.fail(connection, held, error, 1.0) == "failed"
    (kept,) = connection.execute("select error from ledger.attempt where claim = %s", (held.claim,)).fetchone()
    assert kept == shortened(error.replace("\0", "\\0").encode(errors="backslashreplace").decode())
    code, _, said = run(["export", row.name, "--format", "csv"], {"DATABASE_URL": url})
    assert code == 0, said
    assert studies.delete(db, row) == "deleted"
