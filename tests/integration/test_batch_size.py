"""The batch size of a study can change: each iteration keeps its own, and a study continues on more machines."""

import json
from typing import Any

import optuna
import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import managing, studies, trials
from ledger.database.connection import engine
from ledger.database.managing import ProposedBatch
from ledger.errors import LedgerError, UsageError
from ledger.manager.registration import register, set_batch_size
from ledger.optuna import views as optuna_views
from ledger.optuna.connect import opened
from tests.integration.ledgers import hold, make_study, managed
from tests.integration.moving import exported, moved
from tests.integration.test_commands import run as run
from tests.integration.test_enqueue import verified
from tests.integration.test_manager import square, study
from tests.integration.test_manager import workers as workers


def sizes(db: Connection, name: str = "s") -> list[tuple[int, int | None]]:
    row = studies.get(db, name)
    return [(iteration.size, iteration.batch_size) for iteration in studies.iterations(db, row.id)]


def change(db: Connection, batch_size: int, name: str = "s") -> None:
    set_batch_size(db, studies.get(db, name), batch_size)


def test_a_resumed_study_goes_on_with_another_batch_size_and_verifies(db, workers, tmp_path):
    workers(square)
    assert managed(db, register(db, study(tmp_path, iterations=2, batch_size=2))).run().state == "complete"
    change(db, 5)
    assert studies.extend(db, studies.get(db, "s").id, 12) == "extended"
    assert managed(db, studies.get(db, "s")).run().state == "complete"
    assert sizes(db) == [(2, 2), (2, 2), (5, 5), (3, 5)]
    assert verified(db).recomputed == 4


def test_a_change_holds_from_the_next_proposal_of_a_running_manager(db, url, workers, tmp_path):
    row = register(db, study(tmp_path, iterations=6, batch_size=2))
    done: list[bool] = []

    def watch(_progress: Any) -> None:
        if not done:
            done.append(True)
            with engine(url).connect() as other:
                change(other, 4)
            workers(square)

    assert managed(db, row, watch).run().state == "complete"
    assert sizes(db) == [(2, 2), (4, 4), (4, 4), (2, 4)]
    assert verified(db).recomputed == 4


def test_points_for_an_earlier_batch_size_are_not_inserted(db, connection):
    row = studies.create(db, "s", {**make_study(db, "other").spec, "batch_size": 2}, "0" * 64, 8, {})
    assert row is not None
    held = hold(db, row)
    change(db, 3)
    batch = ProposedBatch(0, 0, 0, [{"C": 5.0}, {"C": 6.0}], None, {}, 0.0, 0.0, None, 2)
    assert managing.propose(db, held, batch) == "changed"
    assert trials.all_of(db, row.id) == []


def test_the_same_changes_give_the_same_study_on_any_number_of_workers(db, workers, tmp_path):
    found = []
    for name, more in (("one", 1), ("three", 2)):
        for _ in range(more):
            workers(square)
        row = register(db, study(tmp_path, name=name, iterations=2, batch_size=2))
        managed(db, row).run()
        change(db, 4, name)
        studies.extend(db, row.id, 12)
        managed(db, studies.get(db, name)).run()
        assert sizes(db, name) == [(2, 2), (2, 2), (4, 4), (4, 4)]
        found.append([trial.params for trial in trials.all_of(db, row.id)])
    assert found[0] == found[1]


def test_a_round_has_the_size_of_the_round_that_failed(db, workers, tmp_path):
    crashing = iter(["crashed"] * 3)

    def loss(params: dict[str, Any]) -> float | str | None:
        return next(crashing, square(params))

    row = register(db, study(tmp_path, iterations=2, batch_size=3, limits="max_crashes = 1"))
    done: list[bool] = []

    def watch(_progress: Any) -> None:
        if not done:
            done.append(True)
            change(db, 2)
            workers(loss)

    assert managed(db, row, watch).run().state == "complete"
    assert sizes(db)[0] == (6, 3)
    assert [batch_size for _, batch_size in sizes(db)[1:]] == [2, 2]
    assert verified(db).recomputed == 4


def test_steady_mode_keeps_the_new_number_of_trials_in_flight(db, workers, tmp_path):
    row = register(db, study(tmp_path, iterations=10, batch_size=2, mode="steady"))
    done: list[bool] = []

    def watch(_progress: Any) -> None:
        open_trials = [trial for trial in trials.all_of(db, row.id) if trial.is_open]
        if not done and len(open_trials) == 2:
            done.append(True)
            change(db, 7)
        elif len(open_trials) == 7 and len(done) == 1:
            done.append(True)
            workers(square)

    assert managed(db, row, watch).run().state == "complete"
    assert len(done) == 2
    assert sizes(db)[:2] == [(2, 2), (5, 7)]
    assert verified(db).trials == 20


def test_a_run_with_another_batch_size_says_how_to_change_it(run, db, url, workers, monkeypatch, tmp_path):
    register(db, study(tmp_path, iterations=2, batch_size=2))
    asked = study(tmp_path, trials=8, iterations=None, batch_size=4)
    with pytest.raises(LedgerError) as refused:
        register(db, asked)
    assert "batch_size: the study has 2, but 4 is requested" in str(refused.value)
    assert str(refused.value).endswith("continue the existing study with `ledger resume s --batch-size 4`")
    monkeypatch.setenv("DATABASE_URL", url)
    workers(square)
    code, _, error = run("resume", "s", "--workers", "0", "--batch-size", "4", "--trials", "8")
    assert code == 0, error
    assert sizes(db) == [(4, 4), (4, 4)]
    assert register(db, asked).state == "complete", "a run with the new batch size continues the study"
    code, out, error = run("resume", "s", "--workers", "0")
    assert (code, "complete" in out) == (0, True)
    assert error == (
        "ledger: study s is already complete: to extend the study, add --trials with a total of more than 8 trials\n"
    )
    code, _, error = run("resume", "s", "--workers", "0", "--batch-size", "0")
    assert (code, "--batch-size" in error) == (2, True)


def test_the_batch_size_is_shown_and_moved(db, url, connection, workers, tmp_path, run, monkeypatch):
    workers(square)
    managed(db, register(db, study(tmp_path, iterations=1, batch_size=2))).run()
    change(db, 3)
    studies.extend(db, studies.get(db, "s").id, 5)
    managed(db, studies.get(db, "s")).run()
    assert connection.execute("select batch_size from ledger.studies").fetchone() == (3,)
    monkeypatch.setenv("DATABASE_URL", url)
    document = json.loads(run("study", "show", "s", "--json")[1])
    assert [iteration["batch_size"] for iteration in document["iteration_list"]] == [2, 3]
    there = exported(db)
    copied = moved(db, there, "copy")
    assert copied.batch_size == 3
    assert sizes(db, "copy") == sizes(db)
    assert optuna_views.enable(db)
    with opened(url) as storage:
        assert optuna.load_study(study_name="s", storage=storage).user_attrs["batch_size"] == 3
    for key, value, said in (
        ("batch_size", 1, "iteration 0: the batch size is 1, but 2 trials were proposed together"),
        ("batch_size", None, "iteration 0: the batch size is None, but 2 trials were proposed"),
    ):
        changed = json.loads(json.dumps(there))
        changed["iterations"][0][key] = value
        with pytest.raises(UsageError, match=said):
            moved(db, changed, "other")


def test_a_batch_size_over_the_maximum_changes_nothing(run, db, url, connection, monkeypatch):
    row = make_study(db)
    monkeypatch.setenv("DATABASE_URL", url)
    code, _, error = run("resume", "s", "--batch-size", "10001")
    assert code == 2
    assert "'--batch-size': 10001 is not in the range 1<=x<=10000" in error
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="batch_size: 10001 is too large, at most 10000"):
        connection.execute("select ledger.set_batch_size(%s, 10001)", (row.id,))
    change(db, 10_000)
    assert studies.get(db, "s").batch_size == 10_000 != row.batch_size


def test_the_batch_size_of_a_cancelled_study_does_not_change(db):
    row = make_study(db)
    studies.cancel(db, row.id, "no")
    with pytest.raises(LedgerError, match="was cancelled, which is final"):
        change(db, 8)
    assert studies.set_batch_size(db, 99, 8) == "unknown"
