"""Trials that are paused at a rung, in the views, the commands, Python, the report, Optuna, exports and imports."""

import csv
import io
import json

import optuna
import pyarrow.parquet as pq
import pytest
from optuna.storages import RDBStorage
from sqlalchemy.pool import NullPool

import ledger
from ledger.database import overview, protocol, studies
from ledger.export.documents import write_csv
from ledger.export.parquet import write_parquet
from ledger.optuna import connect as reading
from ledger.optuna import views as optuna_views
from ledger.optuna.export import write_optuna
from ledger.report.content import ReportContent
from ledger.report.theme import OUTCOMES
from ledger.report.worker_plots import timeline
from ledger.study.early_stopping import EarlyStopping
from tests.integration.ledgers import add_iteration, spec, take
from tests.integration.moving import as_it_is_elsewhere, exported, moved, without_releases
from tests.integration.recounting import check_totals
from tests.integration.test_commands import Run
from tests.integration.test_commands import run as run
from tests.integration.test_moved_studies import elsewhere as elsewhere
from tests.integration.test_moved_studies import there as there

RULE = EarlyStopping(rule="promotion", eta=2, min_resource=2, max_resource=8, audit=0.0)


@pytest.fixture
def paused(db, connection, url, run: Run, monkeypatch) -> str:
    """The study s: trial 0 is paused at step 2, trial 1 runs, and trial 2 is pending."""
    settings = {**spec(3), "objective": {"function": "own.code:score"}, "resolved": {"initial_points": 3}}
    row = studies.create(db, "s", {**settings, "stopping": RULE.model_dump(exclude_none=True)}, "0" * 64, 3, {})
    assert row is not None
    add_iteration(db, row, 0, 3)
    protocol.announce(connection, "w", "host", 7, {})
    held = take(connection)
    assert protocol.report(connection, held, [1, 2], [0.75, 0.5]) == "stop"
    assert protocol.prune(connection, held, 1.5, "said") == "paused"
    protocol.report(connection, take(connection), [1], [0.25])
    monkeypatch.setenv("DATABASE_URL", url)
    return str(url)


def test_the_views_count_paused_trials(paused, db, connection):
    counted = connection.execute("select running, paused, pending, ended, attempts, failures from ledger.counts")
    assert counted.fetchone() == (1, 1, 1, 0, 2, 0)
    shown = connection.execute("select running, paused, pending from ledger.progress")
    assert shown.fetchone() == (1, 1, 1)
    check_totals(connection, studies.get(db, "s").id)
    outcomes = connection.execute("select outcome, attempts, training_seconds from ledger.outcomes order by outcome")
    assert outcomes.fetchall() == [("paused", 1, 1.5), ("under way", 1, 0.0)]
    states = connection.execute("select trial, state, finished_at, lease_until from ledger.trials order by trial")
    assert states.fetchone() == (0, "paused", None, None)
    assert connection.execute("select trial, worker from ledger.workers").fetchall() == [(1, "w")]


def test_the_commands_show_a_paused_trial(paused, run: Run, tmp_path):
    for command, said in (
        (("status", "s"), "1 running, 1 paused, 1 pending"),
        (("study", "show", "s"), "1 running, 1 paused, 1 pending"),
        (("trial", "show", "s", "0"), "state       paused"),
        (("trial", "show", "s", "0"), "attempt 1: paused after 1.50 s by worker w"),
        (("why", "s", "0"), "trial 0 of study s is paused"),
        (("report", "s", "--output", str(tmp_path / "s.html")), ""),
    ):
        code, out, error = run(*command)
        assert code == 0, error
        assert said in out
    assert "1 running, 1 paused, 1 pending" in (tmp_path / "s.html").read_text()
    assert [row["paused"] for row in json.loads(run("study", "list", "--json")[1])] == [1]
    assert json.loads(run("status", "s", "--json")[1])["paused"] == 1
    (listed,) = json.loads(run("trial", "list", "s", "--state", "paused", "--json")[1])
    assert (listed["number"], listed["state"], listed["attempts"], listed["finished_at"]) == (0, "paused", 1, None)


def test_a_paused_trial_is_cancelled_by_the_command(paused, run: Run):
    assert run("trial", "cancel", "s", "0")[1] == "trial 0 of study s is cancelled\n"
    assert json.loads(run("trial", "show", "s", "0", "--json")[1])["state"] == "cancelled"


def test_python_shows_paused_trials(paused):
    result = ledger.load_study("s")
    assert [trial.state for trial in result.trials] == ["paused", "running", "pending"]
    assert "1 running, 1 paused, 1 pending" in result._repr_html_()
    assert result.trials_dataframe()["state"].tolist() == ["paused", "running", "pending"]
    (listed,) = ledger.list_studies()
    assert (listed.running, listed.paused, listed.pending, listed.pruned) == (1, 1, 1, 0)


def test_the_timeline_of_the_report_shows_paused_attempts(paused, db):
    section = timeline(ReportContent(overview.read(db, studies.get(db, "s"))))
    assert "2 attempts of 1 worker: 1 paused, 1 running." in section.caption
    colours = {trace.name: trace.marker.color for trace in section.plots[0].figure.data}
    assert colours == {name: OUTCOMES[name] for name in ("paused", "running")}


def test_optuna_shows_a_paused_trial_as_running_with_its_values(paused, db, tmp_path):
    assert optuna_views.enable(db)
    file = tmp_path / "study.db"
    write_optuna(db, studies.get(db, "s"), file)
    with reading.storage(paused) as storage:
        for read in (storage, RDBStorage(f"sqlite:///{file}", engine_kwargs={"poolclass": NullPool})):
            found = optuna.load_study(study_name="s", storage=read).trials
            states = optuna.trial.TrialState
            assert [trial.state for trial in found] == [states.RUNNING, states.RUNNING, states.WAITING]
            assert found[0].intermediate_values == {1: 0.75, 2: 0.5}
            assert found[0].datetime_start is not None
            assert found[0].datetime_complete is None


def test_each_export_has_the_state_of_a_paused_trial(paused, db, run: Run, tmp_path):
    row = studies.get(db, "s")
    table = io.StringIO()
    write_csv(db, row, table)
    assert [each["state"] for each in csv.DictReader(table.getvalue().splitlines())] == ["paused", "running", "pending"]
    with (tmp_path / "s.parquet").open("wb") as output:
        write_parquet(db, row, output)
    assert pq.read_table(tmp_path / "s.parquet")["state"].to_pylist() == ["paused", "running", "pending"]
    lines = run("export", "s", "--format", "jsonl")[1].splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["paused", "running", "pending"]


def test_a_paused_trial_stays_paused_in_the_ledger_that_imports_it(paused, db, there):
    document = exported(db)
    assert [trial["state"] for trial in document["trials"]] == ["paused", "running", "pending"]
    moved(there, document)
    assert without_releases(exported(there)) == as_it_is_elsewhere(document)
    assert [trial["state"] for trial in exported(there)["trials"]] == ["paused", "pending", "pending"]


def test_the_replay_leaves_paused_trials_out(paused, connection, run: Run):
    held = take(connection)
    protocol.report(connection, held, [1], [0.25])
    assert protocol.complete(connection, held, 0.25, {}, 1.0) == "recorded"
    for rule in ("promotion", "halving"):
        code, out, error = run("stopping", "replay", "s", "--rule", rule)
        assert (code, error) == (0, "")
        assert out.startswith(f"rule {rule}, eta 2, min_resource 2, max_resource 8: 1 trials with reports\n")
