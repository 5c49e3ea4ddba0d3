"""A study that maximises shows the values of its objective everywhere, and proposes as the study of the negative."""

import csv
import io
import json
from typing import Any

import optuna
import pytest
from sqlalchemy import Connection

from ledger.database import protocol, status, studies, trials
from ledger.errors import LedgerError, UsageError
from ledger.manager.registration import register
from ledger.optuna import views as optuna_views
from ledger.optuna.connect import opened
from ledger.study.file import assemble
from ledger.study.spec import StudySpec
from tests.integration.ledgers import managed, spec, take
from tests.integration.moving import exported, moved
from tests.integration.test_commands import run as run
from tests.integration.test_enqueue import recorded, verified
from tests.integration.test_imported_history import optunas as optunas
from tests.integration.test_manager import square
from tests.integration.test_manager import workers as workers


def study(direction: str | None = None, name: str = "s", **options: Any) -> StudySpec:
    objective = {"function": "m:f"} | ({} if direction is None else {"direction": direction})
    tables: dict[str, Any] = {
        "study": {"name": name, "batch_size": 2, "iterations": 4},
        "objective": objective,
        "space": {"x": {"type": "real", "low": -1.0, "high": 1.0}},
    }
    return assemble(options, tables=tables)


def points(db: Connection, name: str) -> list[dict[str, Any]]:
    return [row.params for row in trials.all_of(db, studies.get(db, name).id)]


@pytest.fixture
def maximised(db, workers):
    """The complete study "s", whose value is -x**2. A worker records the loss, as the trainer computes it."""
    row = register(db, study("maximize"))
    workers(square)
    assert managed(db, row).run().state == "complete"
    return studies.get(db, "s")


def test_a_maximised_study_proposes_as_the_study_of_the_negative(db, workers, maximised):
    row = register(db, study(name="minimised"))
    assert managed(db, row).run().state == "complete"
    assert points(db, "s") == points(db, "minimised")
    assert verified(db).recomputed == 4


def test_views_and_listings_show_the_value_and_the_highest_is_best(run, db, url, connection, maximised, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    rows = trials.all_of(db, maximised.id)
    assert all(row.value == -(row.params["x"] ** 2) == -(row.loss or 0.0) for row in rows)
    best = max(rows, key=lambda row: row.result)
    for view in ("trials", "best_trials", "convergence", "regret", "parameters", "attempts"):
        found = connection.execute(f"select max(value), min(value) from ledger.{view}").fetchone()
        assert found == (best.value, min(row.result for row in rows)), view
    assert connection.execute("select trial, value from ledger.best_trials where rank = 1").fetchone() == (
        best.number,
        best.value,
    )
    so_far = [value for (value,) in connection.execute("select best_value from ledger.convergence order by trial")]
    assert so_far == sorted(so_far)
    assert so_far[-1] == best.value
    for view in ("iterations", "iteration_regret"):
        means = connection.execute(f"select mean_value, -mean_loss from ledger.{view}").fetchall()
        assert all(value == negative for value, negative in means), view
    progress = connection.execute("select direction, best_value, best_loss from ledger.progress").fetchone()
    assert progress == ("maximize", best.value, best.loss)

    shown = status.read(db, maximised.id)
    assert shown.best is not None
    assert (shown.direction, shown.best["value"]) == ("maximize", best.value)
    assert [each.value for each in shown.improvements] == sorted({*so_far})
    assert f"value       {best.value!r} (maximize)\n" in run("study", "show", "s")[1]
    document = json.loads(run("study", "show", "s", "--json")[1])
    assert (document["best_value"], document["best"]["value"], document["direction"]) == (
        best.value,
        best.value,
        "maximize",
    )
    listed = run("trial", "list", "s")[1].splitlines()
    assert "VALUE" in listed[0]
    assert f"{rows[0].value:.6g}" in listed[1]
    assert f"{best.value:.6g}" in run("study", "list")[1]


def test_exports_have_the_value_and_an_import_checks_it(run, db, url, maximised, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    rows = trials.all_of(db, maximised.id)
    of_csv = csv.DictReader(io.StringIO(run("export", "s", "--format", "csv")[1]))
    assert [(float(row["value"]), float(row["loss"])) for row in of_csv] == [(row.value, row.loss) for row in rows]
    document = exported(db)
    assert [trial["value"] for trial in document["trials"]] == [row.value for row in rows]
    copied = moved(db, document, "copy")
    assert [row.value for row in trials.all_of(db, copied.id)] == [row.value for row in rows]
    for change, said in (
        (("trials", "value"), r"trial 0: the value is 2\.0, but the loss \S+ results in the value -"),
        (("attempts", "value"), r"trial 0: the value of attempt 1 is 2\.0, but the loss"),
        (("iterations", "mean_value"), r"iteration 0: mean_value is 2\.0, but the loss"),
        (("iterations", "best_value"), r"iteration 0: best_value is 2\.0, but the loss"),
    ):
        changed = json.loads(json.dumps(document))
        changed[change[0]][0][change[1]] = 2.0
        with pytest.raises(UsageError, match=said):
            moved(db, changed, "other")


def test_optuna_maximises_the_same_values(db, url, maximised):
    assert optuna_views.enable(db)
    with opened(url) as storage:
        of = optuna.load_study(study_name="s", storage=storage)
        rows = trials.all_of(db, maximised.id)
        assert of.direction == optuna.study.StudyDirection.MAXIMIZE
        assert [trial.value for trial in of.trials] == [row.value for row in rows]
        assert of.best_value == max(row.result for row in rows)


def test_values_of_a_csv_file_are_imported_in_the_direction_of_the_study(run, db, url, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", url)
    file = tmp_path / "old.csv"
    file.write_text("x,profit\n0.5,3\n-0.5,4\n")
    for direction, loss in (("maximize", -3.0), (None, 3.0)):
        row = recorded(db, study(direction, direction or "minimize"))
        code, _, error = run("import", "csv", str(file), "--into", row.name, "--value", "profit")
        assert code == 0, error
        first = trials.all_of(db, row.id)[0]
        assert (first.value, first.loss) == (3.0, loss)
    code, _, error = run("import", "csv", str(file), "--into", "maximize", "--value", "profit", "--loss", "profit")
    assert (code, error) == (2, "ledger: --loss and --value exclude each other; remove one of them\n")
    code, _, error = run("import", "csv", str(file), "--into", "maximize", "--value", "gain", "--ignore-extra")
    assert (code, 'old.csv:1: the value "gain" has no column' in error) == (2, True)


def test_values_of_a_maximising_optuna_study_are_imported_as_they_are(run, db, url, optunas, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", url)
    row = recorded(db, study("maximize"))
    code, out, error = run("import", "optuna", optunas, "high", "--into", "s", "--skip-unusable")
    assert code == 0, error
    assert "negative" not in out
    assert [(one.params["x"], one.value) for one in trials.all_of(db, row.id)] == [
        (x, -x * x) for x in (-0.75, 0.5, 0.875)
    ]


def test_another_direction_is_another_study(db, maximised):
    with pytest.raises(LedgerError, match="objective.direction: the study has maximize, but nothing is requested"):
        register(db, study())


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ({"function": "m:f", "direction": "up"}, 'the direction of the objective is neither "minimize" nor "maximize"'),
        ({"function": "m:f", "direction": None}, "the direction of the objective is neither"),
        ({"model": "svm", "direction": "minimize"}, 'or is "minimize" for a model'),
    ],
)
def test_the_database_refuses_an_unknown_direction(db, objective, said):
    with pytest.raises(Exception, match=said):
        studies.create(db, "s", {**spec(2), "objective": objective}, "0" * 64, 2, {})


@pytest.mark.parametrize("score", [0.3, 0.1, 0.7, 0.9999999999999999, -3.2, 0.0, 1.0])
def test_the_value_of_a_model_is_exactly_its_score(db, connection, score):
    row = studies.create(db, "s", spec(1), "0" * 64, 1, {})
    assert row is not None
    trials.enqueue(db, row.id, [{"C": 5.0}])
    assert protocol.complete(connection, take(connection), 1 - score, {"accuracy": score}, 1.0) == "recorded"
    (found,) = trials.all_of(db, row.id)
    assert (found.value, found.loss) == (score, 1 - score)


@pytest.mark.parametrize(("metric", "loss_of_zero"), [("r2", 1.0), ("neg_mean_absolute_error", 0.0)])
@pytest.mark.parametrize(
    "trained", [{"estimator": "sklearn.svm:SVR"}, {"steps": [["scale", "own:Scale"], ["svr", "sklearn.svm:SVR"]]}]
)
def test_the_value_of_an_estimator_is_exactly_its_score(db, connection, trained, metric, loss_of_zero):
    objective = {**trained, "dataset": "diabetes", "task": "regression", "metric": metric}
    row = studies.create(db, "s", {**spec(1), "objective": objective}, "0" * 64, 1, {})
    assert row is not None
    scale = connection.execute("select direction, loss_of_zero from ledger.studies").fetchone()
    assert scale == ("maximize", loss_of_zero)
    trials.enqueue(db, row.id, [{"C": 5.0}])
    assert protocol.complete(connection, take(connection), loss_of_zero + 3.2, {metric: -3.2}, 1.0) == "recorded"
    (found,) = trials.all_of(db, row.id)
    assert (found.value, found.loss) == (-3.2, loss_of_zero + 3.2)
    shown = status.read(db, row.id)
    assert shown.best is not None
    assert shown.best["value"] == -3.2
