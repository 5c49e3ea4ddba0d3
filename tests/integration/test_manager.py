"""The manager: ask, insert, wait, tell, and what it does when trials fail, a study is paused, or it is killed."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from ledger.database import protocol
from ledger.database.connection import engine
from ledger.database.store import Store
from ledger.errors import LedgerError
from ledger.manager.batch import Manager, register
from ledger.study.file import assemble
from ledger.study.spec import StudySpec
from tests.integration.ledgers import claim_one

Loss = Callable[[dict[str, Any]], float | None]


def study(tmp_path, space='x = { type = "real", low = -1.0, high = 1.0 }', limits="", **options: Any) -> StudySpec:
    file = tmp_path / "study.toml"
    file.write_text(
        f'[study]\nname = "s"\n[objective]\nfunction = "m:f"\n[optimizer]\nbase_estimator = "ET"\n'
        f"[space]\n{space}\n[limits]\nmax_failures = 1\n{limits}\n"
    )
    return assemble({"iterations": 4, "batch_size": 2, "seed": 1, **options}, file)


@pytest.fixture
def workers(url) -> Iterator[Callable[[Loss], None]]:
    """Starts a worker with this loss; None fails the trial. It works until the test's end."""
    done = threading.Event()
    threads: list[threading.Thread] = []

    def start(loss: Loss) -> None:
        def work() -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                protocol.listen(connection)
                while not done.is_set():
                    held = claim_one(connection, None, uuid.uuid4(), "w")
                    if held is None:
                        list(connection.notifies(timeout=0.1, stop_after=1))
                        continue
                    value = loss(held.params)
                    if value is None:
                        protocol.fail(connection, held, "ValueError: no", 0.0)
                    else:
                        protocol.complete(connection, held, value, {}, 0.0)

        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    done.set()
    for thread in threads:
        thread.join()


def square(params: dict[str, Any]) -> float:
    return float(params["x"]) ** 2


def proposed(store: Store) -> list[tuple[Any, ...]]:
    return [(row.number, row.iteration, row.params, row.loss) for row in store.trials(store.study("s").id)]


def test_a_study_is_carried_to_its_end(store, workers, tmp_path):
    workers(square)
    row = Manager(store, register(store, study(tmp_path))).run()
    assert row.state == "complete"
    iterations = store.iterations(row.id)
    assert [(told.number, told.size, told.told_at is not None) for told in iterations] == [
        (number, 2, True) for number in range(4)
    ]
    for told in iterations:
        losses = [trial.loss for trial in store.trials(row.id, iteration=told.number)]
        assert (told.mean_loss, told.best_loss) == (sum(losses) / 2, min(losses))
    assert [told.surrogate is not None for told in iterations] == [False, True, True, True]


def test_the_same_study_continues_a_larger_budget_extends_and_other_settings_are_refused(store, workers, tmp_path):
    workers(square)
    Manager(store, register(store, study(tmp_path, iterations=2))).run()
    assert register(store, study(tmp_path, iterations=2)).state == "complete"
    extended = register(store, study(tmp_path, iterations=3))
    assert (extended.state, extended.iterations) == ("running", 3)
    with pytest.raises(LedgerError, match=r"seed: 1 recorded, 2 asked.*another --name"):
        register(store, study(tmp_path, iterations=3, seed=2))
    with pytest.raises(LedgerError, match="a budget only grows"):
        register(store, study(tmp_path, iterations=1))


@pytest.mark.parametrize("told_before", [0, 1, 2])
def test_a_manager_that_was_killed_proposes_what_the_undisturbed_one_does(store, url, workers, tmp_path, told_before):
    class Killed(Exception):
        pass

    workers(square)
    calm = study(tmp_path).model_copy(update={"name": "calm"})
    Manager(store, register(store, calm)).run()
    undisturbed = [(row.number, row.iteration, row.params, row.loss) for row in store.trials(store.study("calm").id)]

    def kill(progress: Any) -> None:
        if progress.ended >= 2 * told_before:
            raise Killed

    with engine(url).connect() as connection:
        first = Store(connection)
        with pytest.raises(Killed):
            Manager(first, register(first, study(tmp_path)), kill).run()
    Manager(store, register(store, study(tmp_path))).run()
    assert proposed(store) == undisturbed


def test_a_second_manager_is_refused(store, url, tmp_path):
    Manager(store, register(store, study(tmp_path)))
    with engine(url).connect() as connection, pytest.raises(LedgerError, match="study s has a manager already"):
        other = Store(connection)
        Manager(other, other.study("s"))


def test_a_failed_trial_is_told_as_the_worst_and_the_study_goes_on(store, workers, tmp_path):
    workers(lambda params: None if params["x"] < 0 else square(params))
    row = Manager(store, register(store, study(tmp_path, iterations=6))).run()
    assert row.state == "complete"
    states = {trial.state for trial in store.trials(row.id)}
    assert states == {"complete", "failed"}


def test_three_rounds_in_which_every_trial_failed_fail_the_study_and_a_resume_tries_one_more(store, workers, tmp_path):
    broken = threading.Event()
    workers(lambda params: square(params) if broken.is_set() else None)
    manager = Manager(store, register(store, study(tmp_path, iterations=1)))
    row = manager.run()
    assert row.state == "failed"
    assert "every trial of 3 rounds failed" in (row.reason or "")
    assert "ValueError: no" in (row.reason or "")
    points = [trial.params["x"] for trial in store.trials(row.id)]
    assert len(set(points)) == 6, "each round has new points"
    broken.set()
    store.run(row.id)
    assert manager.run(another_round=True).state == "complete"
    (told,) = store.iterations(row.id)
    assert (told.round, told.size) == (3, 8)


def test_huge_losses_have_a_mean(store, workers, tmp_path):
    workers(lambda params: 1.7e308)
    row = Manager(store, register(store, study(tmp_path, iterations=1))).run()
    assert [told.mean_loss for told in store.iterations(row.id)] == [1.7e308]


def test_a_discrete_space_that_is_used_up_completes_the_study_early(store, workers, tmp_path):
    workers(square)
    row = Manager(store, register(store, study(tmp_path, 'x = { type = "integer", low = 1, high = 5 }'))).run()
    assert row.state == "complete"
    assert row.reason == "the space is used up: all 5 points of it were tried"
    assert sorted(trial.params["x"] for trial in store.trials(row.id)) == [1, 2, 3, 4, 5]


def test_a_cancelled_study_ends_its_manager(store, url, tmp_path):
    def cancel(_progress: Any) -> None:
        with engine(url).connect() as connection:
            other = Store(connection)
            other.cancel(other.study("s").id, "test")

    assert Manager(store, register(store, study(tmp_path)), cancel).run().state == "cancelled"


def test_a_paused_study_hands_out_nothing_until_it_runs_again(store, url, workers, tmp_path):
    seen: list[int] = []

    def watch(progress: Any) -> None:
        seen.append(progress.ended)
        with engine(url).connect() as connection:
            other = Store(connection)
            row = other.study("s")
            if len(seen) == 1:
                other.pause(row.id)
                workers(square)
            elif len(seen) == 8:
                assert row.state == "paused"
                other.run(row.id)

    row = Manager(store, register(store, study(tmp_path)), watch).run()
    assert row.state == "complete"
    assert seen[:8] == [0] * 8


def test_a_lease_that_ran_out_under_watch_is_taken_back_and_an_old_one_is_not(
    store, connection, workers, advance, tmp_path
):
    row = register(store, study(tmp_path, iterations=1, limits="lease = 2.0\nheartbeat = 0.5"))
    began = time.monotonic()
    taken_back: list[float] = []
    claims: list[uuid.UUID] = []

    def watch(_progress: Any) -> None:
        if not claims:
            held = claim_one(connection, "s", uuid.uuid4(), "lost")
            assert held is not None
            claims.append(held.claim)
            # by the database's clock it is long over, as after an outage
            advance(1000)
        elif not taken_back and connection.execute("select from ledger.trial where lost = 1").fetchall():
            taken_back.append(time.monotonic() - began)
            workers(square)

    assert Manager(store, row, watch).run().state == "complete"
    outcome = connection.execute("select outcome, worker from ledger.attempt where claim = %s", claims).fetchone()
    assert outcome == ("lost", "lost")
    assert taken_back[0] >= 2.0, "only a lease that was watched to its end is taken back"
