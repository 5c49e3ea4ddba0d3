"""The ready queries, in psql and in `ledger query`: their exact answers for a known study, and a real study."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger import embedded
from ledger.database import managing, protocol, queries, reads, studies, trials
from ledger.database.connection import engine
from tests.databases import new_database
from tests.integration import known_study
from tests.integration.ledgers import make_study, reap, take
from tests.integration.test_commands import run  # noqa: F401, the program in this process

FOLDER = Path(__file__).parents[2]
KNOWN = queries.known()
ANSWERS = dict(
    re.findall(
        r"^## (\w+)\n(.*?\n)(?=\n##|\Z)",
        (Path(__file__).parent / "known_study_answers.txt").read_text(),
        re.DOTALL | re.MULTILINE,
    )
)


@pytest.fixture(scope="module")
def known(server: str, template: str) -> Iterator[str]:
    """Yield the URL of a ledger with the known study."""
    with new_database(server, template) as url:
        with psycopg.connect(url) as connection:
            known_study.insert(connection)
        yield url


def psql(url: str, *chosen: str, **variables: str) -> str:
    """Return the output of queries in psql, as csv."""
    files = [f"--file={FOLDER / 'sql' / 'queries' / query}.sql" for query in chosen]
    given = [f"--variable={name}={value}" for name, value in {"ON_ERROR_STOP": "1", **variables}.items()]
    process = subprocess.run(
        [str(embedded.program("psql")), "--no-psqlrc", "--csv", *given, *files, url],
        env={**os.environ, "PGTZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


def asked(url: str, query: str, **variables: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(psql(url, query, **variables))))


@pytest.mark.parametrize("query", KNOWN)
def test_a_ready_query_answers_its_question(known, query):
    assert psql(known, query) == ANSWERS[query]


def test_a_ready_query_is_about_the_study_that_is_named(known):
    assert psql(known, *KNOWN, study="s") == "".join(ANSWERS[query] for query in KNOWN)
    headers = [ANSWERS[query].splitlines()[0] for query in KNOWN]
    assert psql(known, *KNOWN, study="other").splitlines() == headers


def test_the_history_of_one_worker_is_its_own(known):
    assert {row["worker"] for row in asked(known, "worker_history", worker="b")} == {"b"}
    assert len(asked(known, "worker_history", worker="b")) == 4


def test_each_ready_query_is_answered_without_psql_as_with_it(known, run, monkeypatch):  # noqa: F811
    monkeypatch.setenv("DATABASE_URL", known)
    code, out, _ = run("query", "--list", "--json")
    assert (code, [row["query"] for row in json.loads(out)]) == (0, list(KNOWN))
    for name in KNOWN:
        rows = list(csv.reader(io.StringIO(ANSWERS[name])))
        code, out, error = run("query", name, "-v", "study=s", "--json")
        assert (code, error) == (0, "")
        found = json.loads(out)
        assert [list(row) for row in found] == [rows[0]] * (len(rows) - 1)
        for row, as_text in zip(found, rows[1:], strict=True):
            for value, text in zip(row.values(), as_text, strict=True):
                if isinstance(value, int | float) and ":" not in text:
                    assert value == float(text)
                elif value is None:
                    assert text == ""
        code, out, error = run("query", name, "-v", "study=s")
        lines = out.splitlines()
        assert (code, error) == (0, "")
        assert lines == ["no rows"] if len(rows) == 1 else len(lines) == len(rows)


def test_a_table_for_people_has_the_answer(known, run, monkeypatch):  # noqa: F811
    monkeypatch.setenv("DATABASE_URL", known)
    _, out, _ = run("query", "stale_results")
    header, line = out.splitlines()
    assert header.split("  ")[0] == "STUDY"
    assert line.split() == ["s", "1", "1", "a", "15", "complete", "0.875", "0.75", "0.125"]
    _, out, _ = run("query", "--list")
    assert re.search(r"^importance +Which parameters matter\? +study$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the name of a query is missing: `ledger query --list` shows the names"),
        (["importence"], "no query is named 'importence'; did you mean 'importance'?"),
        (["../views/trials"], "no query is named '../views/trials'"),
        (["importance", "-v", "study"], "-v study: write the variable as NAME=VALUE"),
        (["importance", "-v", "worker=w"], "query importance has no variable 'worker'"),
    ],
)
def test_a_question_that_there_is_not_is_one_line(run, arguments, said):  # noqa: F811
    code, out, error = run("query", *arguments)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert said in error


def test_a_question_writes_nothing(db):
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reads.ask(db, psycopg.sql.SQL("delete from ledger.study where {}").format(psycopg.sql.Literal(True)))


def program(url: str, *arguments: str) -> str:
    process = subprocess.run(
        [sys.executable, "-m", "ledger", *arguments],
        env={**os.environ, "DATABASE_URL": url, "LEDGER_LOG_LEVEL": "error", "PYTHONPATH": "docs/studies"},
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def real(server: str, template: str) -> Iterator[str]:
    """Run a study with real workers: some trials fail, one is retried, and one result comes too late."""
    with new_database(server, template) as url:
        work = ("--workers", "2", "--allow", "neighbours")
        program(url, "run", "docs/studies/neighbours.toml", "--iterations", "4", *work)
        with engine(url).connect() as own, psycopg.connect(url, autocommit=True) as connection:
            study = studies.get(own, "neighbours")
            failed = next(trial for trial in trials.all_of(own, study.id) if trial.state == "failed")
            (retried,) = trials.retry(own, study.id, [failed.number])
            (late,) = protocol.claim(connection, "neighbours", [uuid.uuid4()], "late")
            assert late.trial == retried
            connection.execute("update ledger.trial set lease_until = '2000-01-01' where claim = %s", (late.claim,))
            (lease,) = managing.leases(own, study.id)
            assert reap(own, study, lease) == "pending"
            program(url, "resume", "neighbours", *work)
            assert protocol.complete(connection, late, 0.5, {}, 1.0) == "stale"
        yield url


def test_the_questions_about_a_real_study_are_answered(real):
    with engine(real).connect() as own:
        study = studies.get(own, "neighbours")
        rows = trials.all_of(own, study.id)
        best = trials.best(own, study.id)
    assert best is not None
    complete, failed = ([row for row in rows if row.state == state] for state in ("complete", "failed"))

    (progress,) = asked(real, "progress")
    assert (int(progress["complete"]), int(progress["failed"])) == (len(complete), len(failed))
    leaders = asked(real, "leaderboard")
    assert [int(row["rank"]) for row in leaders] == list(range(1, 11))
    assert int(leaders[0]["trial"]) == best.number
    (compared,) = asked(real, "compare_studies")
    assert compared["best_trial"] == str(best.number)
    assert compared["objective"] == "neighbours:loss"

    # a tree does not support cosine, so these trials and the retry failed
    errors = {row["error"] for row in asked(real, "failures") if row["outcome"] == "failed"}
    assert len(errors) == 1
    assert "Metric 'cosine' not valid" in errors.pop()
    by_value = {(row["parameter"], row["value"]): row for row in asked(real, "best_per_category")}
    assert int(by_value["metric", "cosine"]["failed"]) == len(failed)
    assert int(by_value["algorithm", "brute"]["failed"]) == 0
    (again,) = [row for row in asked(real, "retries") if row["retry_of"]]
    assert (again["state"], again["lost"], again["failures"]) == ("failed", "1", "2")
    (stale,) = asked(real, "stale_results")
    assert (stale["worker"], stale["stale_value"], stale["recorded_value"]) == ("late", "0.5000", "")

    parameters = {"n_neighbors", "p", "metric", "algorithm"}
    important = asked(real, "importance")
    assert {row["parameter"] for row in important} == parameters
    assert all(0 <= float(row["eta_squared"]) <= 1 for row in important)
    assert {row["parameter"] for row in asked(real, "good_region")} == parameters
    assert {row["parameter"] for row in asked(real, "slow_parameters")} == parameters
    scales = asked(real, "length_scales")
    proposed = [row for row in asked(real, "proposal_cost") if row["surrogate"] == "GP"]
    assert len(proposed) >= 2
    assert [row["fitted_to"] for row in scales] == [row["fitted_to"] for row in proposed for _ in parameters]
    assert all(0.01 <= float(row["length_scale"]) <= 100 for row in scales)

    counts = {row["outcome"]: int(row["attempts"]) for row in asked(real, "outcomes")}
    assert counts["complete"] == len(complete)
    assert counts["stale"] == 1
    assert sum(int(row["complete"]) for row in asked(real, "throughput")) == len(complete)
    assert sum(int(row["complete"]) for row in asked(real, "worker_activity")) == len(complete)
    assert sum(row["outcome"] == "complete" for row in asked(real, "worker_history")) == len(complete)
    waits = [float(row["queue_seconds"]) for row in asked(real, "longest_waits")]
    assert waits == sorted(waits, reverse=True)
    (went,) = asked(real, "where_time_went")
    shares = [int(went[f"{share}_percent"]) for share in ("training", "holding", "idle")]
    assert all(0 <= share <= 100 for share in shares)
    assert sum(shares) == pytest.approx(100, abs=1)
    regret = [float(row["best_so_far"]) for row in asked(real, "convergence")]
    assert regret == sorted(regret, reverse=True)
    (soon,) = asked(real, "how_soon")
    assert int(soon["trials_to_best"]) == 1 + [row.number for row in complete].index(best.number)
    assert asked(real, "running") == []


def test_what_is_trained_now_is_told(db, connection):
    make_study(db)
    take(connection, worker="w")
    columns, rows = reads.ask(db, queries.find("running").with_values({}))
    (row,) = (dict(zip(columns, row, strict=True)) for row in rows)
    assert (row["study"], row["trial"], row["worker"], row["params"]) == ("s", 0, "w", {"C": 1.0})
    assert 0 < row["lease_seconds"] <= 30
    assert row["seconds_to_deadline"] is None


def test_the_page_shows_each_query_as_it_answers():
    page = (FOLDER / "docs" / "ask-the-ledger.md").read_text()
    shown = re.findall(r"^\$ ledger db psql -f sql/queries/(\w+)\.sql[^\n]*\n([^\n]*)\n", page, re.MULTILINE)
    assert sorted(query for query, _ in shown) == sorted(KNOWN)
    for query, header in shown:
        assert [column.strip() for column in header.split("|")] == ANSWERS[query].splitlines()[0].split(","), query
