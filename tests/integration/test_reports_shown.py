"""Reports in the commands, in Python, in exports and imports, and in Optuna."""

import json
import math
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

import ledger
from ledger.database import overview, protocol, reports, studies
from ledger.errors import UsageError
from ledger.export.files import write_files
from ledger.optuna import connect as reading
from ledger.optuna import views as optuna_views
from ledger.optuna.export import write_optuna
from tests.integration.ledgers import add_iteration, make_study, spec, take
from tests.integration.moving import exported, moved
from tests.integration.test_commands import Run
from tests.integration.test_commands import run as run
from tests.integration.test_moved_studies import elsewhere as elsewhere
from tests.integration.test_moved_studies import there as there
from tests.integration.test_moved_studies import under_way

OBJECTIVE = {"function": "own.code:score", "direction": "maximize"}


@pytest.fixture
def reported(db: Connection, connection: psycopg.Connection[Any]) -> None:
    """A study that maximises: trial 0 has two attempts with reports, trial 1 has none, and trial 2 is running."""
    row = studies.create(db, "s", {**spec(3), "objective": OBJECTIVE}, "0" * 64, 3, {})
    assert row is not None
    add_iteration(db, row, 0, 3)
    first = take(connection)
    protocol.report(connection, first, [0], [-1.0])
    assert protocol.fail(connection, first, "error", 1.0) == "retry"
    again = take(connection)
    protocol.report(connection, again, range(4), [-1.0, -2.0, None, -2.5])
    assert protocol.complete(connection, again, -2.5, {}, 1.0) == "recorded"
    assert protocol.complete(connection, take(connection), -3.0, {}, 1.0) == "recorded"
    running = take(connection)
    metrics = "array[jsonb '{\"rate\": 0.1}']"
    connection.execute(
        f"select ledger.report(%s, %s, %s, '{{10}}', '{{-7}}', {metrics})",
        (running.study_id, running.trial, running.claim),
    )


@pytest.fixture
def here(run: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let commands and Python use the ledger of the test. The fixture `run` removes the variables of the ledger."""
    monkeypatch.setenv("DATABASE_URL", url)


def test_commands_show_the_reports(reported, here, run: Run):
    code, out, _ = run("trial", "reports", "s", "0")
    lines = [line.split() for line in out.splitlines()]
    assert (code, lines[0]) == (0, ["ATTEMPT", "STEP", "VALUE", "SECONDS"])
    assert [line[:3] for line in lines[1:]] == [
        *(["1", "0", "1"], ["2", "0", "1"], ["2", "1", "2"]),
        *(["2", "2", "-"], ["2", "3", "2.5"]),
    ]
    code, out, _ = run("trial", "reports", "s", "0", "--attempt", "1", "--json")
    (shown,) = json.loads(out)
    assert (shown["attempt"], shown["step"], shown["value"], shown["loss"], shown["metrics"]) == (1, 0, 1.0, -1.0, None)
    assert {"seconds", "reported_at"} <= set(shown)
    assert run("trial", "reports", "s", "1")[1] == "trial 1 of study s has no reports\n"
    assert run("trial", "reports", "s", "0", "--attempt", "3")[1] == "attempt 3 of trial 0 of study s has no reports\n"
    code, _, error = run("trial", "reports", "s", "7")
    assert (code, error.count("\n")) == (1, 1)
    assert "7" in error


def test_the_command_show_counts_the_reports(reported, here, run: Run):
    _, out, _ = run("trial", "show", "s", "0")
    said = [line.strip() for line in out.splitlines() if ", the last at step" in line]
    assert said == ["1 report, the last at step 0: value 1.0", "4 reports, the last at step 3: value 2.5"]
    counts = [
        [attempt["reports"] for attempt in json.loads(run("trial", "show", "s", number, "--json")[1])["attempt_list"]]
        for number in "012"
    ]
    assert counts == [[1, 4], [0], [1]]


def test_python_reads_the_reports(reported, here):
    result = ledger.load_study("s")
    frame = result.reports()
    assert frame.columns.tolist() == ["trial", "attempt", "step", "value", "seconds", "reported_at", "metrics_rate"]
    assert frame[["trial", "attempt", "step"]].to_numpy().tolist() == [
        *([0, 1, 0], [0, 2, 0], [0, 2, 1], [0, 2, 2], [0, 2, 3], [2, 1, 10]),
    ]
    assert frame["value"].fillna(-9).tolist() == [1.0, 1.0, 2.0, -9.0, 2.5, 7.0]
    assert frame["value"].dtype == float
    assert (frame["seconds"] >= 0).all()
    assert result.reports(1).empty
    assert result.reports(1)["value"].dtype == float
    assert result.reports(trial=2)["metrics_rate"].tolist() == [0.1]


def test_pages_of_reports_lose_none(reported, db, monkeypatch):
    study = studies.get(db, "s")
    (whole,) = reports.pages(db, study.id)
    for size in (1, 2, 3, 6):
        monkeypatch.setattr(reports, "PAGE", size)
        assert [row for page in reports.pages(db, study.id) for row in page] == whole
        assert sorted(reports.of_trials(db, study.id, 0, 2)) == [0, 2]
        assert [row.step for row in reports.of_trials(db, study.id, 0, 1)[0]] == [0, 1, 2, 3]


@pytest.fixture
def document(db: Connection, connection: psycopg.Connection[Any], url: str, tmp_path: Path) -> dict[str, Any]:
    """The export of a study in which each attempt has reported the steps 0 to 2."""
    under_way(db, url, tmp_path)
    connection.execute(
        "insert into ledger.report (study_id, trial, attempt, step, loss, metrics, reported_at)"
        " select study_id, trial, number, step, nullif(step, 1), case step when 2 then '{\"rate\": 0.1}'::jsonb end,"
        " claimed_at from ledger.attempt, generate_series(0, 2) as step"
    )
    return exported(db)


def test_a_moved_study_has_the_same_reports(document, there):
    assert len(document["reports"]) == 3 * len(document["attempts"]) > 6
    assert [(row["step"], row["value"], row["loss"], row["metrics"]) for row in document["reports"][:3]] == [
        *((0, 0.0, 0.0, None), (1, None, None, None)),
        (2, 2.0, 2.0, {"rate": 0.1}),
    ]
    moved(there, document)
    assert exported(there)["reports"] == document["reports"]


def test_an_export_without_reports_is_read(document, there):
    for name in ("reports", "cutoffs", "verdicts"):
        del document[name]
    moved(there, document)
    assert exported(there)["reports"] == []


@pytest.mark.parametrize(
    ("index", "changes", "place"),
    [
        (0, {"step": -1}, "reports[0].step"),
        (1, {"step": 1.5}, "reports[1].step"),
        (1, {"step": 10**15 + 1}, "reports[1].step"),
        (2, {"loss": "low"}, "reports[2].loss"),
        (2, {"metrics": []}, "reports[2].metrics"),
        (2, {"metrics": {"a": "x" * 10_000}}, "reports[2].metrics"),
        (3, {"reported_at": "0001-01-01T00:00:00+00:00"}, "reports[3].reported_at"),
        (4, {"attempt": 9}, "has no attempt 9; export the study again"),
        (2, {"after_step": 2}, "reports[2].after_step"),
        (2, {"after_step": 99}, "reports[2].after_step"),
        (0, {"value": 0.5}, "reports[0].value: 0.5: the loss 0.0 results in the value 0.0"),
        (2, {"loss": 0.5}, "reports[2].value: 2.0: the loss 0.5 results in the value 0.5"),
        (2, {"step": 1}, "reports[2].step: attempt 1 of trial 0 has another report of step 1"),
        (4, {"trial": 77}, "is damaged at reports[4]: trial 77 has no attempt 1"),
        (0, {"claim": "x"}, "reports[0].claim"),
    ],
)
def test_a_damaged_report_is_refused_with_its_place(document, there, index, changes, place):
    document["reports"][index] |= changes
    with pytest.raises(UsageError) as refused:
        moved(there, document)
    assert place in str(refused.value)
    assert "\n" not in str(refused.value)
    assert studies.find(there, "s") is None


def test_the_files_of_a_study_contain_the_reports_of_its_trials(reported, db, tmp_path):
    assert write_files(db, studies.get(db, "s"), tmp_path) == 7
    assert sorted(file.name for file in tmp_path.glob("reports_*")) == ["reports_0_0.json", "reports_0_2.json"]
    assert json.loads((tmp_path / "reports_0_0.json").read_text())[1:3] == [
        {"step": 1, "value": 2.0},
        {"step": 2, "value": None},
    ]
    assert json.loads((tmp_path / "reports_0_2.json").read_text()) == [{"rate": 0.1, "step": 10, "value": 7.0}]


def values_of(study: optuna.Study) -> list[dict[int, float]]:
    return [
        {step: -9.0 if math.isnan(value) else value for step, value in trial.intermediate_values.items()}
        for trial in study.get_trials(deepcopy=False)
    ]


EXPECTED: list[dict[int, float]] = [{0: 1.0, 1: 2.0, 2: -9.0, 3: 2.5}, {}, {10: 7.0}]


def test_optuna_reads_the_intermediate_values(reported, db, url):
    assert optuna_views.enable(db)
    with reading.storage(url) as storage:
        assert values_of(optuna.load_study(study_name="s", storage=storage)) == EXPECTED
    # an upgrade replaces the empty view of an earlier version
    with db.begin():
        db.exec_driver_sql("drop view optuna.trial_intermediate_values")
        db.exec_driver_sql(
            "create view optuna.trial_intermediate_values as select 0 as step, 0 as trial_id where false"
        )
    assert not optuna_views.enable(db)
    with reading.storage(url) as storage:
        assert values_of(optuna.load_study(study_name="s", storage=storage)) == EXPECTED


def test_an_export_to_optuna_has_the_intermediate_values(reported, db, tmp_path):
    path = tmp_path / "optuna.db"
    write_optuna(db, studies.get(db, "s"), path)
    storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"poolclass": NullPool})
    assert values_of(optuna.load_study(study_name="s", storage=storage)) == EXPECTED
    storage.remove_session()
    storage.engine.dispose()


def test_the_report_page_shows_the_learning_curves(reported, db):
    shown = overview.read(db, studies.get(db, "s"))
    assert [(curve.trial.number, curve.is_best, curve.steps, curve.values) for curve in shown.curves] == [
        (0, True, [0, 1, 2, 3], [1.0, 2.0, None, 2.5]),
        (2, False, [10], [7.0]),
    ]
    assert [curve.reports for curve in shown.curves] == [4, 1]


def test_a_curve_goes_on_over_the_attempts_that_continue_it(db, connection, url):
    row = studies.create(db, "s", {**spec(1), "objective": {"function": "own.code:score"}}, "0" * 64, 1, {})
    assert row is not None
    add_iteration(db, row, 0, 1)
    # the second attempt continues from a checkpoint of step 1, and the third from one of step 4
    for steps in ([0, 1, 2, 3], [2, 3, 4], []):
        held = take(connection)
        protocol.report(connection, held, steps, [held.attempt / 2] * len(steps))
        assert protocol.fail(connection, held, "error", 1.0) == "retry" or held.attempt == 3
    expected = {0: 0.5, 1: 0.5, 2: 1.0, 3: 1.0, 4: 1.0}
    (curve,) = overview.read(db, row).curves
    assert dict(zip(curve.steps, curve.values, strict=True)) == expected
    assert {report.step: report.loss for report in reports.of_trials(db, row.id, 0, 0)[0]} == expected
    replaced = connection.execute("select attempt, step from ledger.reports where is_replaced order by step")
    assert replaced.fetchall() == [(1, 2), (1, 3)]
    assert optuna_views.enable(db)
    with reading.storage(url) as storage:
        assert values_of(optuna.load_study(study_name="s", storage=storage)) == [expected]


def test_the_learning_curves_are_bounded(db, connection):
    """A study with 50 trials, each of which reports the steps 0 to 999."""
    row = make_study(db, trials=50)
    for _ in range(50):
        held = take(connection)
        assert protocol.report(connection, held, range(1000), [0.5] * 1000) == "continue"
        assert protocol.complete(connection, held, float(held.trial), {}, 1.0) == "recorded"
    shown = overview.read(db, row).curves
    assert [curve.trial.number for curve in shown if curve.is_best] == [0, 1, 2, 3, 4]
    assert [curve.trial.number for curve in shown if not curve.is_best] == list(range(5, 50, 3))
    for curve in shown:
        assert curve.reports == 1000
        assert list(curve.steps) == [*range(0, 1000, 5), 999]
