"""Imported trials: proposals depend on them, no worker trains them, and they do not count towards the budget."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import optuna
import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import protocol, reads, studies, transfer, trials
from ledger.database.connection import engine
from ledger.database.trials import ExternalTrial
from ledger.errors import LedgerError
from ledger.manager.registration import register
from ledger.proposals import mean_loss
from ledger.verification import verify
from tests.integration.ledgers import make_study, managed
from tests.integration.test_commands import run as run
from tests.integration.test_enqueue import recorded, sources, verified
from tests.integration.test_manager import square, study
from tests.integration.test_manager import workers as workers
from tests.integration.test_verification import corrupt

HISTORY = [ExternalTrial({"x": x}, x * x, {}) for x in (-0.75, 0.5, 0.875)]


def bring_in(db: Connection, study_id: int, finished: list[ExternalTrial] = HISTORY) -> int:
    return trials.import_finished(db, study_id, finished, mean_loss([one.loss for one in finished]))


def test_imported_trials_are_told_and_count_as_initial_points(db, connection, workers, tmp_path):
    row = recorded(db, study(tmp_path))
    assert bring_in(db, row.id) == 0
    (first,) = studies.iterations(db, row.id)
    assert (first.size, first.best_loss, first.told_at) == (3, 0.25, first.asked_at)
    assert first.mean_loss == mean_loss([one.loss for one in HISTORY])
    assert protocol.claim(connection, "s", [uuid.uuid4()], "w") == []
    assert verified(db).attempts == 0
    workers(square)
    assert managed(db, register(db, study(tmp_path))).run().state == "complete"
    assert [told.surrogate is not None for told in studies.iterations(db, row.id)] == [False, True, True, True, True]
    assert sources(db)[:4] == [(0, 0, "imported"), (1, 0, "imported"), (2, 0, "imported"), (3, 1, "proposed")]
    assert len(sources(db)) == 11
    assert verified(db).recomputed == 4
    progress = reads.progress(db, "s")[0]
    assert (progress.iterations_told, progress.budget, progress.attempts) == (5, 8, 8)


def test_what_is_proposed_follows_from_them(db, workers, tmp_path):
    """The same study proposes other points where the losses are others."""
    workers(square)
    found = []
    for name, sign in (("s", 1), ("t", -1)):
        asked = study(tmp_path).model_copy(update={"name": name})
        row = recorded(db, asked)
        bring_in(db, row.id, [ExternalTrial(one.params, sign * one.loss, {}) for one in HISTORY])
        managed(db, register(db, asked)).run()
        found.append([one.params for one in trials.all_of(db, row.id) if one.source == "proposed"])
    assert found[0] != found[1]


def test_those_that_come_while_an_iteration_is_under_way_join_it(db, url, workers, tmp_path):
    came: list[int] = []

    def watch(progress: Any) -> None:
        if not came:
            with engine(url).connect() as connection:
                came.append(bring_in(connection, row.id))
            workers(square)

    row = register(db, study(tmp_path))
    assert managed(db, row, watch).run().state == "complete"
    first = studies.iterations(db, row.id)[0]
    assert (first.size, came, studies.get(db, "s").budget) == (5, [2], 8)
    assert verified(db).recomputed == 4


@pytest.mark.parametrize("mode", ["batch", "steady"])
def test_a_study_without_a_complete_trial_of_its_own_fails(db, workers, tmp_path, mode):
    asked = study(tmp_path, mode=mode)
    row = register(db, asked)
    bring_in(db, row.id)
    workers(lambda _params: None)
    assert managed(db, register(db, asked)).run().state == "failed"
    assert verified(db).trials in ((5,) if mode == "batch" else (5, 6, 7))
    own = [one.state for one in trials.all_of(db, row.id) if one.source == "proposed"]
    assert own[:2] == ["failed", "failed"]


def test_imported_trials_of_steady_mode_do_not_count(db, url, workers, tmp_path):
    asked = study(tmp_path, mode="steady", batch_size=3)
    row = recorded(db, asked)
    bring_in(db, row.id)
    came: list[int] = []

    def watch(progress: Any) -> None:
        if progress.ended >= 5 and not came:
            with engine(url).connect() as connection:
                came.append(bring_in(connection, row.id, [ExternalTrial({"x": 0.25}, 0.0625, {})]))

    workers(square)
    assert managed(db, register(db, asked), watch).run().state == "complete"
    counted = [source for *_, source in sources(db)]
    assert (counted.count("proposed"), counted.count("imported"), studies.get(db, "s").budget) == (12, 4, 12)
    seen = [iteration.seen for iteration in studies.iterations(db, row.id)]
    assert seen[1] == [0, 1, 2]
    assert any(came[0] in ends for ends in seen if ends)
    assert verified(db).recomputed > 3


def test_the_best_is_shown_with_its_source(run, db, url, connection, monkeypatch, tmp_path):
    row = recorded(db, study(tmp_path))
    bring_in(db, row.id)
    ranked = connection.execute("select rank, trial, source from ledger.best_trials order by rank").fetchall()
    assert ranked == [(1, 1, "imported"), (2, 0, "imported"), (3, 2, "imported")]
    assert {source for (source,) in connection.execute("select source from ledger.convergence")} == {"imported"}
    monkeypatch.setenv("DATABASE_URL", url)
    assert "best        trial 1 of iteration 0, imported\n" in run("study", "show", "s")[1]


def test_the_database_refuses_known_points_and_cancelled_studies(db):
    row = make_study(db)
    for number, params in ((0, trials.all_of(db, row.id)[0].params), (2, trials.all_of(db, row.id)[2].params)):
        with pytest.raises(
            LedgerError, match=f"trial {number} of study s has parameters that are imported, and is pend"
        ):
            bring_in(db, row.id, [ExternalTrial({"C": 500.0}, 0.5, {}), ExternalTrial(params, 0.5, {})])
    assert len(trials.all_of(db, row.id)) == 4
    studies.cancel(db, row.id, "test")
    with pytest.raises(LedgerError, match="study s was cancelled, which is final: import into another study"):
        bring_in(db, row.id, [ExternalTrial({"C": 500.0}, 0.5, {})])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "update ledger.trial set attempts = 1 where number = 0",
            "trial 0: the trial's row records 1 attempts, but 0 attempts exist",
        ),
        ("update ledger.trial set loss = 0.5 where number = 0", "iteration 0: `mean_loss` is .*, but the losses of"),
        ("update ledger.trial set source = 'proposed' where number = 0", "trial 0: the state is complete, but 0 attem"),
        (
            "update ledger.trial set state = 'failed', loss = null, metrics = null, error = 'e' where number = 0",
            "trial 0: the state is failed, but the trial has 0 failures .limit 1.",
        ),
    ],
)
def test_verify_names_what_an_imported_trial_cannot_be(db, url, tmp_path, change, said):
    row = recorded(db, study(tmp_path))
    bring_in(db, row.id)
    corrupt(url, change)
    with pytest.raises(LedgerError, match=f"^study s, {said}"):
        verify(transfer.snapshot(db, row.id))


def counts(url: str) -> Any:
    with psycopg.connect(url) as connection:
        return connection.execute("select count(*), max(number) from ledger.trial").fetchone()


def test_csv_is_imported_whole_or_refused_in_one_line(run, db, url, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", url)
    row = recorded(db, study(tmp_path))
    (tmp_path / "old.csv").write_text("x,loss,seconds\n0.5,0.25,1\n-0.5,0.3,1\n7,0.1,1\n")
    for arguments, said in [
        (["--into", "s"], 'old.csv:1: column "seconds" is neither a parameter of the study nor the loss'),
        (["--into", "s", "--ignore-extra"], "old.csv:4: parameter 'x': 7.0 is not in [-1.0, 1.0]"),
        (["--into", "s", "--loss", "none"], 'the loss "none" has no column'),
        ([], "Missing option '--into'"),
    ]:
        code, _, error = run("import", "csv", "old.csv", *arguments)
        assert (code, error.count("\n")) == (2, 1), error
        assert said in error
    assert run("import", "csv", "old.csv", "--into", "t", "--ignore-extra")[0] == 1
    assert counts(url) == (0, None)
    code, out, error = run("import", "csv", "old.csv", "--into", "s", "--ignore-extra", "--skip-unusable")
    assert (code, out) == (0, "2 finished trials are imported into study s as trial 0 to 1\n")
    assert error == "left out: old.csv:4: parameter 'x': 7.0 is not in [-1.0, 1.0]\n"
    assert [(one.params, one.loss, one.source) for one in trials.all_of(db, row.id)] == [
        ({"x": 0.5}, 0.25, "imported"),
        ({"x": -0.5}, 0.3, "imported"),
    ]
    code, _, error = run("import", "csv", "old.csv", "--into", "s", "--ignore-extra")
    assert (code, error) == (
        2,
        "ledger: old.csv:2: the parameters are the same as in trial 0 (complete) of study s; correct the row, or use"
        " --skip-unusable\n",
    )
    # the csv export of a study is a history for another study
    assert run("export", "s", "--format", "csv", "--output", "s.csv")[0] == 0
    recorded(db, study(tmp_path).model_copy(update={"name": "t"}))
    assert run("import", "csv", "s.csv", "--into", "t", "--ignore-extra")[1] == (
        "2 finished trials are imported into study t as trial 0 to 1\n"
    )


@pytest.fixture
def optunas(tmp_path) -> Iterator[str]:
    """Return the URL of an Optuna storage with three studies."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{tmp_path}/optuna.db"
    storage = optuna.storages.RDBStorage(url)
    for name, direction, sign in (("low", "minimize", 1), ("high", "maximize", -1)):
        made = optuna.create_study(study_name=name, storage=storage, direction=direction)
        for x in (-0.75, 0.5, 0.875, 0.5, 3.0):
            made.enqueue_trial({"x": x})

        def objective(trial: Any, sign: int = sign) -> float:
            return sign * float(trial.suggest_float("x", -5, 5)) ** 2

        made.optimize(objective, n_trials=5)
        made.ask()
    optuna.create_study(study_name="two", storage=storage, directions=["minimize", "maximize"])
    yield url
    optuna.logging.set_verbosity(verbosity)


@pytest.mark.parametrize(("name", "maximises"), [("low", False), ("high", True)])
def test_an_optuna_studys_finished_trials_are_imported(
    run, db, url, workers, optunas, monkeypatch, tmp_path, name, maximises
):
    monkeypatch.setenv("DATABASE_URL", url)
    row = recorded(db, study(tmp_path))
    code, _, error = run("import", "optuna", optunas, name, "--into", "s")
    assert (code, error.count("\n")) == (2, 1)
    said = f"trial 3 of Optuna's study {name}: the parameters are the same as in trial 1 of Optuna's study {name}"
    assert said in error
    code, out, error = run("import", "optuna", optunas, name, "--into", "s", "--skip-unusable")
    assert code == 0, error
    assert out.splitlines()[0] == "3 finished trials are imported into study s as trial 0 to 2"
    assert ("maximises, but study s minimises, so each imported value is the negative" in out) == maximises
    assert out.splitlines()[-1] == "1 trials are skipped, because they are neither complete nor pruned"
    assert [line.split(": ")[2].split(",")[0] for line in error.splitlines()] == [
        "the parameters are the same as in trial 1 of Optuna's study " + name,
        "parameter 'x'",
    ]
    assert [(one.params["x"], one.loss, one.metrics) for one in trials.all_of(db, row.id)] == [
        (x, x * x, {"optuna_trial": number}) for number, x in enumerate((-0.75, 0.5, 0.875))
    ]
    code, out, _ = run("import", "optuna", optunas, name, "--into", "s", "--skip-unusable")
    said = "no trial is imported, because study s already has 4 of the finished trials"
    assert (code, out.splitlines()[0]) == (0, said)
    workers(square)
    assert managed(db, register(db, study(tmp_path))).run().state == "complete"
    assert verified(db).recomputed == 4


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
@pytest.mark.parametrize("mode", ["batch", "steady"])
def test_an_optuna_studys_pruned_trials_are_imported_as_pruned(
    run, db, connection, url, workers, optunas, monkeypatch, tmp_path, direction, sign, mode
):
    monkeypatch.setenv("DATABASE_URL", url)
    storage = optuna.storages.RDBStorage(optunas)
    source = optuna.create_study(study_name="stopped", storage=storage, direction=direction)

    def objective(trial: Any) -> float:
        x = trial.suggest_float("x", -1, 1)
        # The trials 1 to 3 are pruned: after a number, after NaN, and without any value.
        for step in (9, 4) if trial.number != 3 else ():
            trial.report(float("nan") if trial.number == 2 and step == 9 else sign * (x * x + step / 100), step)
        if trial.number:
            raise optuna.TrialPruned
        return float(sign * x * x)

    for x in (0.5, -0.75, 0.875, 0.25):
        source.enqueue_trial({"x": x})
    source.optimize(objective, n_trials=4)
    row = recorded(db, study(tmp_path, mode=mode))
    code, _, error = run("import", "optuna", optunas, "stopped", "--into", "s")
    said = "trial 3 of Optuna's study stopped: the trial is pruned, but has no intermediate value"
    assert (code, said in error, trials.all_of(db, row.id)) == (2, True, [])
    code, out, error = run("import", "optuna", optunas, "stopped", "--into", "s", "--skip-unusable")
    assert (code, error.startswith(f"left out: {said}")) == (0, True)
    assert out.splitlines()[0] == "3 finished trials are imported into study s as trial 0 to 2"
    assert (
        "2 of the imported trials are pruned; the loss of a pruned trial comes from its last intermediate value" in out
    )
    assert [(one.state, one.loss, one.pruned_step, one.pruned_loss) for one in trials.all_of(db, row.id)] == [
        ("complete", 0.25, None, None),
        ("pruned", None, 9, 0.75 * 0.75 + 0.09),
        ("pruned", None, 9, None),
    ]
    assert "the training ended early at step 9, outside this ledger" in run("why", "s", "1")[1]
    workers(square)
    assert managed(db, register(db, study(tmp_path, mode=mode))).run().state == "complete"
    assert verified(db).recomputed >= 4
    assert connection.execute("select pruned from ledger.progress").fetchone() == (2,)


def test_pruned_trials_alone_can_be_imported_and_moved(run, db, url, workers, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", url)
    row = recorded(db, study(tmp_path))
    pruned = [ExternalTrial({"x": x}, x * x, {}, pruned_step=3) for x in (-0.75, 0.5)]
    assert trials.import_finished(db, row.id, pruned, None) == 0
    assert studies.iterations(db, row.id)[0].mean_loss is None
    workers(square)
    assert managed(db, register(db, study(tmp_path))).run().state == "complete"
    assert verified(db).recomputed == 4
    assert run("export", "s", "--format", "json", "--output", "s.json")[0] == 0
    assert run("import", "s.json", "--name", "t")[0] == 0
    assert run("verify", "t")[0] == 0


DAMAGES = {
    "an unknown distribution": """update trial_params set distribution_json = '{"name": "Odd", "attributes": {}}'""",
    "a damaged distribution": "update trial_params set distribution_json = '{\"name\": '",
    "a distribution that is a number": "update trial_params set distribution_json = '5'",
    "a distribution without a range": """update trial_params set distribution_json = '{"name": "IntDistribution"}'""",
    "no choices": "update trial_params set distribution_json ="
    """ '{"name": "CategoricalDistribution", "attributes": {"choices": []}}'""",
    "a text as a value": "update trial_values set value = 'abc'",
    "an unknown type of value": "update trial_values set value_type = 'ODD'",
    "no value": "delete from trial_values",
    "a damaged date": "update trials set datetime_start = 'yesterday'",
    "an unknown state": "update trials set state = 'ODD'",
    "an unknown direction": "update study_directions set direction = 'ODD'",
    "no direction": "delete from study_directions",
    "a damaged attribute": "update trial_system_attributes set value_json = '{'",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_row_of_optuna_is_refused_in_one_line(run, db, url, optunas, monkeypatch, tmp_path, damage):
    monkeypatch.setenv("DATABASE_URL", url)
    recorded(db, study(tmp_path))
    with closing(sqlite3.connect(tmp_path / "optuna.db")) as damaged, damaged:
        assert damaged.execute(damage).rowcount > 0
    code, out, error = run("import", "optuna", optunas, "low", "--into", "s", "--skip-unusable")
    assert (code, out, error.count("\n")) == (1, "", 1), error
    assert f"{optunas} contains a damaged row of an Optuna study: " in error
    assert "repair the storage, or use Optuna to export the study as csv, and import the csv file" in error
    assert counts(url) == (0, None)


def test_a_wrong_intermediate_value_of_optuna_is_named(run, db, url, optunas, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", url)
    recorded(db, study(tmp_path))
    with closing(sqlite3.connect(tmp_path / "optuna.db")) as damaged, damaged:
        damaged.execute(
            "insert into trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)"
            " select trial_id, 'y', 'x', 'FINITE' from trials join studies using (study_id)"
            " where study_name = 'low' and number = 3"
        )
    code, out, error = run("import", "optuna", optunas, "low", "--into", "s", "--skip-unusable")
    assert (code, out, error.count("\n")) == (1, "", 1), error
    named = "the step must be an integer and the value a number, not 'y' and 'x'; repair the storage"
    assert f"trial 3 has an invalid intermediate value: {named}" in error


def test_what_cannot_be_read_of_optuna_is_refused_in_one_line(run, db, url, optunas, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", url)
    recorded(db, study(tmp_path, space='y = { type = "real", low = -1.0, high = 1.0 }'))
    (tmp_path / "other.db").write_text("no database")
    for source, name, expected, said in [
        (optunas, "two", 2, "Optuna's study two has 2 objectives, but a trial of the ledger has one value"),
        (optunas, "lo", 2, "has no study 'lo'; did you mean 'low'?"),
        (optunas, "low", 2, "trial 0 of Optuna's study low: the space has no parameter 'x'; there are y"),
        (f"sqlite:///{tmp_path}/none.db", "low", 2, "none.db: no file"),
        (
            f"sqlite:///{tmp_path}/other.db",
            "low",
            1,
            "other.db cannot be read as an Optuna storage: file is not a data",
        ),
        ("nonsense", "low", 2, "the storage's URL cannot be parsed: write a URL such as sqlite:///optuna.db"),
        # a database without Optuna's tables; the import must not create them
        (f"sqlite:///{tmp_path}/empty.db", "low", 1, "cannot be read as an Optuna storage"),
        ("postgresql://me:secret@127.0.0.1:1/x", "low", 1, "me:***@127.0.0.1:1/x cannot be read as an Optuna storage"),
        ("nodb://me:secret@h/x", "low", 1, "nodb://me:***@h/x cannot be read as an Optuna storage"),
    ]:
        if source.endswith("empty.db"):
            (tmp_path / "empty.db").write_bytes(b"")
        code, _, error = run("import", "optuna", source, name, "--into", "s")
        assert (code, error.count("\n")) == (expected, 1), error
        assert said in error
        assert "secret" not in error
    assert (tmp_path / "empty.db").stat().st_size == 0
    assert not (tmp_path / "none.db").exists()
    assert counts(url) == (0, None)
