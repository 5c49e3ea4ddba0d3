"""`verify`: it recomputes all that it can, and names the first difference."""

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import event

from ledger.database import protocol, studies, transfer, trials
from ledger.database.connection import engine
from ledger.database.rows import columns
from ledger.errors import LedgerError
from ledger.manager.registration import register
from ledger.proposals import environment
from ledger.study.file import assemble
from ledger.verification import verify
from tests.databases import new_database
from tests.integration.ledgers import UNTOLD, claim_one, managed
from tests.integration.test_commands import run as run

# Outcomes of the attempts of a trial in order; "complete" is the default.
PLAN = {
    1: "failed failed",
    2: "timeout failed",
    3: "failed failed",
    4: "released complete",
    5: "lost complete",
    7: "cancelled",
}
AFTERWARDS = {11: "failed complete", 12: "failed failed"}

KINDS = ("proposed", "complete", "failed", "cancelled", "attempts", "failures", "crashes", "lost")

FILE = """
[study]
name = "s"
[objective]
function = "m:f"
[optimizer]
base_estimator = "{estimator}"
acq_func = "{acq_func}"
[space]
x = {{ type = "real", low = -1.0, high = 1.0 }}
k = {{ type = "categorical", choices = ["a", "b"] }}
[limits]
max_failures = 2
"""


def manage(url: str, plan: dict[int, str], file: Any, iterations: int) -> None:
    """Run a study to its end, and do the work of the workers at the manager's polls."""
    attempts: dict[int, int] = {}

    def work(_progress: Any) -> None:
        while (held := claim_one(connection, "s", uuid.uuid4(), "w")) is not None:
            ends = plan.get(held.trial, "complete").split()
            end = ends[attempts.get(held.trial, 0)]
            attempts[held.trial] = attempts.get(held.trial, 0) + 1
            if end == "complete":
                loss = held.params["x"] ** 2 + (held.params["k"] == "b")
                protocol.complete(connection, held, loss, {}, 0.5 + held.trial)
            elif end == "released":
                protocol.release(connection, held)
            elif end == "cancelled":
                trials.cancel(other, held.study_id, [held.trial], "test")
            elif end == "lost":
                connection.execute(
                    "update ledger.trial set lease_until = '2000-01-01' where number = %s", (held.trial,)
                )
                connection.execute(
                    "select ledger.reap(%s, (select claim from ledger.manager), %s, '2000-01-01')",
                    (held.study_id, held.trial),
                )
            else:
                protocol.fail(connection, held, "ValueError: no", 0.5, end)

    with (
        psycopg.connect(url, autocommit=True) as connection,
        engine(url).connect() as own,
        engine(url).connect() as other,
    ):
        study = assemble({"iterations": iterations, "batch_size": 2, "seed": 1}, file)
        assert managed(own, register(own, study), work).run().state == "complete"


def searched(url: str, folder: Any, estimator: str = "ET", acq_func: str = "EI") -> None:
    """Create a study with rounds, failures, lost, released and cancelled trials, retries and an extension."""
    file = folder / "s.toml"
    file.write_text(FILE.format(estimator=estimator, acq_func=acq_func))
    manage(url, PLAN, file, 4)
    with engine(url).connect() as connection:
        db = connection
        assert trials.retry(db, studies.get(db, "s").id, [1, 7]) == [10, 11]
        assert studies.get(db, "s").budget == 8
    manage(url, AFTERWARDS, file, 4)
    with engine(url).connect() as connection:
        db = connection
        assert studies.extend(db, studies.get(db, "s").id, 10) == "extended"
    manage(url, AFTERWARDS, file, 5)
    with engine(url).connect() as connection:
        db = connection
        assert trials.retry(db, studies.get(db, "s").id, [12]) == [14]
    manage(url, {14: "failed failed"}, file, 5)


@pytest.fixture(scope="module")
def history(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the name of a database with such a study, for copies."""
    with new_database(server, template) as url:
        searched(url, tmp_path_factory.mktemp("study"))
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.fixture
def ledger(server: str, history: str) -> Iterator[str]:
    """Yield the URL of a database with such a study."""
    with new_database(server, history) as url:
        yield url


def verified(url: str) -> Any:
    with engine(url).connect() as connection:
        db = connection
        return verify(transfer.snapshot(db, studies.get(db, "s").id))


def corrupt(url: str, *statements: str) -> None:
    """Change finished rows as a superuser who first removes the triggers."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("trial", "iteration", "attempt"):
            connection.execute(f"alter table ledger.{table} disable trigger user")
        checks = connection.execute(
            "select conrelid::regclass::text, conname from pg_constraint"
            " where connamespace = 'ledger'::regnamespace and contype = 'c'"
        ).fetchall()
        for table, check in checks:
            connection.execute(f"alter table {table} drop constraint {check}")
        for statement in statements:
            assert connection.execute(statement).rowcount, statement


def test_a_study_in_which_everything_happened_verifies(ledger):
    found = verified(ledger)
    assert (found.trials, found.iterations, found.not_comparable) == (15, 7, [])
    assert found.attempts > 20
    # one round of each of the five proposed iterations, and another round of the iteration that failed
    assert found.recomputed == 6


@pytest.mark.parametrize(("estimator", "acq_func"), [("GP", "EI"), ("GP", "EIps"), ("RF", "LCB")])
def test_a_study_of_any_surrogate_verifies(url, tmp_path, estimator, acq_func):
    searched(url, tmp_path, estimator, acq_func)
    assert verified(url).recomputed == 6


TRIAL, ITERATION, ATTEMPT = "update ledger.trial set", "update ledger.iteration set", "update ledger.attempt set"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("delete from ledger.trial where number = 8", "trial 8 is missing, and the next trial is 9"),
        (
            f"{TRIAL} iteration = 0 where number = 9",
            "trial 9: the trial belongs to iteration 0, but the earlier trial 8 belongs to iteration 3",
        ),
        (
            "delete from ledger.attempt where trial = 2 and number = 1",
            "trial 2: attempt 1 is missing, and the next attempt is 2",
        ),
        (
            f"{TRIAL} state = 'pending' where number = 1",
            "trial 1: the state is pending, but the column `finished_at` is not null",
        ),
        (
            f"{TRIAL} finished_at = null where number = 0",
            "trial 0: the state is complete, but the column `finished_at` is null",
        ),
        (f"{TRIAL} loss = null where number = 0", "trial 0: the state is complete, but the column `loss` is null"),
        (
            f"{TRIAL} metrics = null where number = 0",
            "trial 0: the state is complete, but the column `metrics` is null",
        ),
        (f"{TRIAL} error = null where number = 1", "trial 1: the state is failed, but the column `error` is null"),
        (f"{TRIAL} loss = 'nan' where number = 0", "trial 0: the loss nan is not finite"),
        (
            f"{TRIAL} lease_until = now() where number = 0",
            "trial 0: the state is complete, but the column `lease_until` is not null",
        ),
        (f"{TRIAL} state = 'lost' where number = 7", "trial 7: unknown state"),
        (
            f"{TRIAL} state = 'cancelled' where number = 1",
            "trial 1: the state is cancelled, but the trial has 2 failures .limit 2.",
        ),
        (f"{TRIAL} attempts = 3 where number = 4", "trial 4: the trial's row records 3 attempts, but 2 attempts exist"),
        (
            f"{TRIAL} failures = 1 where number = 0",
            "trial 0: the trial's row records 1 failures, but 0 attempts failed",
        ),
        (
            f"{TRIAL} lost = 0 where number = 5",
            "trial 5: the trial's row records 0 lost attempts, but 1 attempts were lost",
        ),
        (
            f"{ATTEMPT} outcome = null, ended_at = null where trial = 0",
            "trial 0: attempt 1 of 1 has not ended, and the trial is complete; only the last",
        ),
        (
            f"{ATTEMPT} outcome = null, ended_at = null where trial = 3",
            "trial 3: the trial's row records 2 failures, but 0 attempts failed",
        ),
        (f"{ATTEMPT} outcome = null, ended_at = null where trial = 4", "trial 4: attempts 1 and 2 have not ended"),
        (
            f"{TRIAL} state = 'running', finished_at = null, loss = null, metrics = null, lease_until = now()"
            " where number = 9",
            "trial 9: the state is running, but the last attempt is complete",
        ),
        (
            f"with others as ({ATTEMPT} outcome = 'released' where trial = 9)"
            f" {TRIAL} state = 'pending', finished_at = null, loss = null, metrics = null where number = 9",
            "iteration 3: the optimizer has received the iteration's results, but a trial of the iteration",
        ),
        (
            f"{ATTEMPT} ended_at = null where trial = 0",
            "trial 0: attempt 1 has the outcome complete, but `ended_at` is None",
        ),
        (f"{ATTEMPT} outcome = 'stale' where trial = 0", "trial 0: the state is complete, but 0 attempts are complete"),
        (
            f"{ATTEMPT} outcome = 'complete', loss = 0 where trial = 4",
            "trial 4: the state is complete, but 2 attempts are complete",
        ),
        (f"{TRIAL} loss = loss + 1 where number = 9", "trial 9: the trial's loss is .*, but the loss of attempt 1 is"),
        (
            f"{TRIAL} worker = 'v' where number = 9",
            "trial 9: the trial's worker is v, but the worker of attempt 1 is w",
        ),
        (
            f"{TRIAL} retry_of = 6 where number = 10",
            "trial 10: the trial is a retry of trial 6, which is complete",
        ),
        (
            f"{TRIAL} retry_of = 7 where number = 10",
            "trial 10: the trial is a retry of trial 7, which has different parameters",
        ),
        (
            f"{TRIAL} source = 'proposed' where number = 10",
            "trial 10: `source` is proposed, but `retry_of` is 1",
        ),
        (
            """update ledger.trial set params = params || '{"x": 7}' where number = 9""",
            r"trial 9: parameter 'x': 7.0 is not in",
        ),
        (
            f"{ITERATION} size = 3 where number = 0",
            "iteration 0: the recorded size is 3, but the iteration has 2 trials",
        ),
        (
            f"{ITERATION} round = 2 where number = 1",
            "iteration 1: the recorded last round is 2, but the last round with a trial is round 1",
        ),
        (
            f"{ITERATION} {UNTOLD} where number = 2",
            "iteration 2: the optimizer has not received the iteration's results, but a later iteration was proposed",
        ),
        (
            f"{ITERATION} mean_loss = mean_loss + 1e-9 where number = 3",
            "iteration 3: `mean_loss` is .*, but the losses of the trials result in",
        ),
        (
            f"{ITERATION} best_loss = 0 where number = 1",
            "iteration 1: `best_loss` is 0.0, but the losses of the trials result in",
        ),
        (
            f"{ITERATION} mean_loss = 1 where number = 6",
            "iteration 6: `mean_loss` is 1.0, but the losses of the trials result in None",
        ),
        (
            "update ledger.study set budget = 9",
            "the study itself: the budget is 9 trials, but 10 trials were proposed",
        ),
        (
            "update ledger.study set budget = 12",
            "the study itself: the state is complete, but only 10 of 12 trials were proposed",
        ),
        (
            "update ledger.study set state = 'failed'",
            "the study itself: the state is failed, but the optimizer has received the results of every iteration",
        ),
        (
            "update ledger.study set finished_at = null",
            "the study itself: the state is complete, but `finished_at` is None",
        ),
        (
            """update ledger.study set spec = jsonb_set(spec, '{objective,function}', '"m:g"')""",
            "the study itself: `spec_hash` is .*, but the hash of the settings is",
        ),
        (
            """update ledger.trial set params = params || '{"x": 0.5}' where number = 8""",
            r"trial 8 \(iteration 3\): the recorded value of x is 0.5, but the recomputed value is ",
        ),
        (
            """update ledger.trial set params = params || '{"x": 0.5}' where number = 2""",
            r"trial 2 \(iteration 1, round 0\): the recorded value of x is 0.5, but the recomputed value is ",
        ),
        (
            f"{ITERATION} surrogate = null where number = 3",
            'iteration 3: the surrogate\'s recorded estimator is null, but the recomputed estimator is "ET"',
        ),
        (
            f"{ITERATION} first_trial = 3 where number = 2",
            "iteration 2: `first_trial` is 3, but the first trial is trial 6",
        ),
        (
            f"{ITERATION} told = 77 where number = 2",
            "iteration 3: `told` is 4, but no iteration has `told` = 3",
        ),
        *(
            (
                f"{ITERATION} {column} = coalesce({column}, 0) + 1 where number = 2",
                rf"iteration 2: `{column}` is \d+, but the value computed from the trials is \d+",
            )
            for column in (*(f"total_{kind}" for kind in KINDS), "last_complete")
        ),
        (
            f"{ITERATION} improvements = array[0, 1] where number = 0",
            r"iteration 0: `improvements` is \[0, 1\], but the value computed from the trials is \[0\]",
        ),
    ],
)
def test_every_change_is_named_with_its_place(ledger, change, said):
    corrupt(ledger, change)
    with pytest.raises(LedgerError, match=f"^study s, {said}") as refused:
        verified(ledger)
    assert "\n" not in str(refused.value)


def test_points_in_another_order_are_not_the_proposal(ledger):
    corrupt(
        ledger,
        "drop index ledger.trial_params_once",
        "update ledger.trial set params = other.params from ledger.trial as other"
        " where trial.number in (8, 9) and other.number = 17 - trial.number",
    )
    with pytest.raises(LedgerError, match=r"^study s, trial 8 \(iteration 3\)"):
        verified(ledger)


def test_a_kernel_that_was_changed_is_named(url, tmp_path):
    searched(url, tmp_path, "GP")
    corrupt(url, "update ledger.iteration set surrogate = jsonb_set(surrogate, '{theta,0}', '0.5') where number = 3")
    with pytest.raises(LedgerError, match="^study s, iteration 3: the surrogate's recorded theta "):
        verified(url)


def test_proposals_of_another_environment_are_not_comparable(ledger):
    """A changed point may come from another version. Everything else is still verified."""
    corrupt(
        ledger,
        """update ledger.iteration set environment = environment || '{"numpy": "2.1.0"}' where number in (0, 3, 5)""",
        # the later proposals, all in iteration 5, depend on it
        """update ledger.trial set params = params || '{"x": 0.5}' where number = 9""",
    )
    found = verified(ledger)
    numpy = f"numpy 2.1.0 recorded, {environment()['numpy']} here"
    assert found.not_comparable == [
        ("iteration 0", numpy),
        (
            "iteration 1, round 0",
            "the environment of this round is not recorded; the last recorded environment differs from the environment"
            f" of this process: {numpy}",
        ),
        ("iteration 3", numpy),
        ("iteration 5", numpy),
    ]
    assert found.recomputed == 2
    corrupt(ledger, f"{TRIAL} failures = 1 where number = 9")
    with pytest.raises(LedgerError, match="trial 9: the trial's row records 1 failures"):
        verified(ledger)


def test_the_command_tells_neighbours_that_are_not_comparable_in_one_line(ledger, run, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", ledger)
    corrupt(
        ledger, """update ledger.iteration set environment = environment || '{"numpy": "2.1.0"}' where number < 4"""
    )
    code, out, error = run("verify", "s")
    assert (code, error) == (0, "")
    assert out.splitlines()[1:] == [
        f"iteration 0 to iteration 3 are not comparable: numpy 2.1.0 recorded, {environment()['numpy']} here"
    ]


@pytest.mark.parametrize("page", [2, 1000])
def test_a_study_that_runs_verifies_at_every_moment_and_nothing_is_written(url, tmp_path, monkeypatch, page):
    monkeypatch.setattr(transfer, "PAGE", page)
    file = tmp_path / "s.toml"
    file.write_text(FILE.format(estimator="ET", acq_func="EI"))
    running = threading.Thread(target=manage, args=(url, PLAN, file, 6))
    running.start()
    seen = set()
    try:
        while running.is_alive():
            with engine(url).connect() as connection:
                db = connection
                row = studies.find(db, "s")
                if row is not None:
                    seen.add(verify(transfer.snapshot(db, row.id)).trials)
    finally:
        running.join()
    assert len(seen) > 1


def test_a_snapshot_is_read_in_short_transactions_without_claims(ledger, monkeypatch):
    with engine(ledger).connect() as connection:
        db = connection
        row = studies.get(db, "s")
        whole = transfer.snapshot(db, row.id)
        monkeypatch.setattr(transfer, "PAGE", 4)
        statements: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
        snapshot = transfer.snapshot(db, row.id)
        assert not connection.in_transaction()
    assert replace(snapshot, at=whole.at) == whole
    reads = [index for index, each in enumerate(statements) if each.startswith("set transaction isolation level")]
    # the study with its open iterations, the pages of trials, and the verdicts
    assert len(reads) == 1 + -(-len(whole.trials) // 4) + 1
    assert {statements[index] for index in reads} == {"set transaction isolation level repeatable read, read only"}
    for rows in (snapshot.trials, snapshot.attempts):
        assert "claim" not in columns(type(rows[0]))
