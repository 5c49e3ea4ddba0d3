"""The manager: ask, insert, wait and tell; failing trials, paused studies, and killed managers."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import protocol, studies, transfer, trials
from ledger.database.connection import engine
from ledger.errors import LedgerError
from ledger.manager.registration import register
from ledger.study.file import assemble
from ledger.study.spec import StudySpec
from ledger.verification import verify
from tests.integration.ledgers import claim_one, managed

Loss = Callable[[dict[str, Any]], float | str | None]


def study(tmp_path, space='x = { type = "real", low = -1.0, high = 1.0 }', limits="", **options: Any) -> StudySpec:
    file = tmp_path / "study.toml"
    file.write_text(
        f'[study]\nname = "s"\n[objective]\nfunction = "m:f"\n[optimizer]\nbase_estimator = "ET"\n'
        f"[space]\n{space}\n[limits]\nmax_failures = 1\n{limits}\n"
    )
    return assemble({"iterations": 4, "batch_size": 2, "seed": 1, **options}, file)


@pytest.fixture
def workers(url) -> Iterator[Callable[[Loss], None]]:
    """Return a function that starts a worker with a loss. None makes the trial fail, and a text is an outcome."""
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
                    elif isinstance(value, str):
                        protocol.fail(connection, held, "signal SIGSEGV", 0.0, value)
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


def proposed(db: Connection) -> list[tuple[Any, ...]]:
    return [(row.number, row.iteration, row.params, row.loss) for row in trials.all_of(db, studies.get(db, "s").id)]


def test_a_study_is_carried_to_its_end(db, workers, tmp_path):
    workers(square)
    row = managed(db, register(db, study(tmp_path))).run()
    assert row.state == "complete"
    iterations = studies.iterations(db, row.id)
    assert [(told.number, told.size, told.told_at is not None) for told in iterations] == [
        (number, 2, True) for number in range(4)
    ]
    for told in iterations:
        losses = [trial.loss or 0.0 for trial in trials.all_of(db, row.id, iteration=told.number)]
        assert (told.mean_loss, told.best_loss) == (sum(losses) / 2, min(losses))
    assert [told.surrogate is not None for told in iterations] == [False, True, True, True]


def test_a_study_is_continued_or_extended_and_other_settings_are_refused(db, workers, tmp_path):
    workers(square)
    managed(db, register(db, study(tmp_path, iterations=2))).run()
    assert register(db, study(tmp_path, iterations=2)).state == "complete"
    extended = register(db, study(tmp_path, iterations=3))
    assert (extended.state, extended.budget) == ("running", 6)
    with pytest.raises(LedgerError, match=r"seed: the study has 1, but 2 is requested.*choose another name"):
        register(db, study(tmp_path, iterations=3, seed=2))
    with pytest.raises(LedgerError, match="the budget of a study cannot be reduced"):
        register(db, study(tmp_path, iterations=1))


@pytest.mark.parametrize("told_before", [0, 1, 2])
def test_a_killed_manager_s_successor_proposes_the_same_points(db, url, workers, tmp_path, told_before):
    class Killed(Exception):
        pass

    workers(square)
    calm = study(tmp_path).model_copy(update={"name": "calm"})
    managed(db, register(db, calm)).run()
    undisturbed = [
        (row.number, row.iteration, row.params, row.loss) for row in trials.all_of(db, studies.get(db, "calm").id)
    ]

    def kill(progress: Any) -> None:
        if progress.ended >= 2 * told_before:
            raise Killed

    with engine(url).connect() as connection:
        first = connection
        with pytest.raises(Killed):
            managed(first, register(first, study(tmp_path)), kill).run()
    managed(db, register(db, study(tmp_path))).run()
    assert proposed(db) == undisturbed


def test_a_second_manager_is_refused(db, url, tmp_path):
    managed(db, register(db, study(tmp_path)))
    with engine(url).connect() as connection, pytest.raises(LedgerError, match="study s has a manager"):
        other = connection
        managed(other, studies.get(other, "s"))


def test_a_study_goes_on_after_a_failed_trial(db, workers, tmp_path):
    workers(lambda params: None if params["x"] < 0 else square(params))
    row = managed(db, register(db, study(tmp_path, iterations=6))).run()
    assert row.state == "complete"
    states = {trial.state for trial in trials.all_of(db, row.id)}
    assert states == {"complete", "failed"}


def test_a_first_batch_of_exceptions_fails_the_study_until_a_resume(db, workers, tmp_path):
    repaired = threading.Event()
    workers(lambda params: square(params) if repaired.is_set() else None)
    row = managed(db, register(db, study(tmp_path, iterations=2))).run()
    assert (row.state, len(trials.all_of(db, row.id))) == ("failed", 2)
    assert row.reason == (
        "every trial of the first batch failed; the last failed trial is trial 1, with the error: ValueError: no"
    )
    studies.resume(db, row.id)
    again = managed(db, row).run(another_round=True)
    assert (again.state, len(trials.all_of(db, row.id))) == ("failed", 4), "a resume tries one round"
    repaired.set()
    studies.resume(db, row.id)
    assert managed(db, row).run(another_round=True).state == "complete"
    first, second = studies.iterations(db, row.id)
    assert [(first.round, first.size), (second.round, second.size)] == [(2, 6), (0, 2)]
    assert verify(transfer.snapshot(db, row.id)).trials == 8


def test_three_rounds_of_crashes_fail_the_study(db, workers, tmp_path):
    workers(lambda _params: "crashed")
    row = managed(db, register(db, study(tmp_path, iterations=1, limits="max_crashes = 2"))).run()
    assert row.state == "failed"
    assert "iteration 0: every trial of 3 rounds failed; the last failed trial is trial 5" in (row.reason or "")
    assert len({trial.params["x"] for trial in trials.all_of(db, row.id)}) == 6, "each round has new points"


def test_three_failed_rounds_after_a_complete_trial_fail_the_study(db, workers, tmp_path):
    first = iter([0.5, 0.25])
    workers(lambda _params: next(first, None))
    row = managed(db, register(db, study(tmp_path, iterations=2))).run()
    assert row.state == "failed"
    assert "iteration 1: every trial of 3 rounds failed" in (row.reason or "")


def test_huge_losses_have_a_mean(db, workers, tmp_path):
    workers(lambda params: 1.7e308)
    row = managed(db, register(db, study(tmp_path, iterations=1))).run()
    assert [told.mean_loss for told in studies.iterations(db, row.id)] == [1.7e308]


def test_a_used_up_discrete_space_completes_the_study_early(db, workers, tmp_path):
    workers(square)
    row = managed(db, register(db, study(tmp_path, 'x = { type = "integer", low = 1, high = 5 }'))).run()
    assert row.state == "complete"
    assert row.reason == "the space is used up: all 5 points of the space were tried"
    assert sorted(trial.params["x"] for trial in trials.all_of(db, row.id)) == [1, 2, 3, 4, 5]


def test_a_cancelled_study_ends_its_manager(db, url, tmp_path):
    def cancel(_progress: Any) -> None:
        with engine(url).connect() as connection:
            other = connection
            studies.cancel(other, studies.get(other, "s").id, "test")

    assert managed(db, register(db, study(tmp_path)), cancel).run().state == "cancelled"


def test_a_paused_study_hands_out_nothing_until_it_runs_again(db, url, workers, tmp_path):
    seen: list[int] = []

    def watch(progress: Any) -> None:
        seen.append(progress.ended)
        with engine(url).connect() as connection:
            other = connection
            row = studies.get(other, "s")
            if len(seen) == 1:
                studies.pause(other, row.id)
                workers(square)
            elif len(seen) == 8:
                assert row.state == "paused"
                studies.resume(other, row.id)

    row = managed(db, register(db, study(tmp_path)), watch).run()
    assert row.state == "complete"
    assert seen[:8] == [0] * 8


def test_only_a_lease_that_ran_out_under_watch_is_taken_back(db, connection, workers, advance, tmp_path):
    row = register(db, study(tmp_path, iterations=1, limits="lease = 2.0\nheartbeat = 0.5"))
    began = time.monotonic()
    taken_back: list[float] = []
    claims: list[uuid.UUID] = []

    def watch(_progress: Any) -> None:
        if not claims:
            held = claim_one(connection, "s", uuid.uuid4(), "lost")
            if held is None:
                return  # nothing is proposed yet
            claims.append(held.claim)
            # by the database's clock, the lease expired long ago, as after an outage
            advance(1000)
        elif not taken_back and connection.execute("select from ledger.trial where lost = 1").fetchall():
            taken_back.append(time.monotonic() - began)
            workers(square)

    assert managed(db, row, watch).run().state == "complete"
    outcome = connection.execute("select outcome, worker from ledger.attempt where claim = %s", claims).fetchone()
    assert outcome == ("lost", "lost")
    assert taken_back[0] >= 2.0, "only a lease that was watched to its end is taken back"


def test_the_last_batch_is_smaller_where_the_budget_asks_for_it(db, workers, tmp_path):
    workers(square)
    row = managed(db, register(db, study(tmp_path, iterations=None, trials=5))).run()
    assert [iteration.size for iteration in studies.iterations(db, row.id)] == [2, 2, 1]
    assert verify(transfer.snapshot(db, row.id)).recomputed == 3
    extended = managed(db, register(db, study(tmp_path, iterations=None, trials=8))).run()
    assert [iteration.size for iteration in studies.iterations(db, extended.id)] == [2, 2, 1, 2, 1]


def test_a_manager_whose_study_was_taken_stops_before_it_writes(db, connection, workers, tmp_path):
    row = register(db, study(tmp_path))

    def take(_progress: Any) -> None:
        connection.execute("update ledger.manager set claim = gen_random_uuid()")
        workers(square)

    with pytest.raises(LedgerError, match="another manager has claimed study s, so this manager stops"):
        managed(db, row, take).run()
    assert [iteration.told_at for iteration in studies.iterations(db, row.id)] == [None]


def test_a_manager_that_ended_leaves_its_study_at_once(db, url, tmp_path):
    def stop(_progress: Any) -> None:
        raise KeyboardInterrupt

    row = register(db, study(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        managed(db, row, stop).run()
    with engine(url).connect() as other:
        managed(other, row)
