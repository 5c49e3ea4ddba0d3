"""In batch mode, no verdict depends on the order in which the trials report, for any reports of several attempts."""

import json
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from ledger.database import protocol, studies, verdicts
from ledger.database.protocol import ClaimedTrial
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, UsageError
from ledger.imports.document import read
from ledger.study.early_stopping import EarlyStopping
from ledger.worker.trial_stopping import TrialStopping
from tests.integration.ledgers import add_iteration, spec, states, tell, verified
from tests.integration.moving import exported
from tests.integration.test_commands import Run
from tests.integration.test_commands import run as run
from tests.integration.test_early_stopped_studies import corrupt
from tests.integration.test_promotion import promote

TRIALS = 6
RULES: dict[str, dict[str, Any]] = {
    "groups": {"rule": "halving", "group_size": 2},
    "groups with an audit": {"rule": "halving", "group_size": 3, "audit": 0.3},
    "halving": {"rule": "halving", "audit": 0.2},
    "median": {"rule": "median"},
    "promotion": {"rule": "promotion", "brackets": 2, "audit": 0.2},
}
FACTS = {
    "verdict": "trial, rung, attempt, step, loss, cutoff, compared, stops, audited",
    "cutoff": "iteration, group_number, rung, loss, compared",
    "trial": "number, state, pruned_step, pruned_loss",
}


@dataclass(frozen=True)
class Training:
    """What each attempt of a trial reports, and whether its objective asks for verdicts. The last attempt completes."""

    attempts: list[list[tuple[int, float | None]]]
    asks: bool


@dataclass
class Attempt:
    held: ClaimedTrial
    left: list[tuple[int, float | None]]
    stopping: TrialStopping
    waits: bool = False


def any_training(chance: random.Random) -> Training:
    def steps() -> list[int]:
        found = [chance.randint(0, 8) for _ in range(chance.randint(1, 6))]
        return sorted(found) if chance.random() < 0.4 else found

    losses = [None, *(place / 10 for place in range(10))]
    attempts = [[(step, chance.choice(losses)) for step in steps()] for _ in range(chance.choice([1, 1, 2, 3]))]
    return Training(attempts, asks=chance.random() < 0.6)


class Workers:
    """Workers that train the trials of an iteration, and send their calls in a random order."""

    def __init__(self, connection: psycopg.Connection[Any], trainings: list[Training], chance: random.Random) -> None:
        self.connection, self.trainings, self.chance = connection, trainings, chance
        self.count = chance.choice([1, 3, TRIALS])
        self.ended = [0] * len(trainings)
        self.running: dict[int, Attempt] = {}

    def claim(self) -> None:
        self.connection.execute(
            "update ledger.trial set available_at = claimed_at where state = 'pending' and attempts > 0"
        )
        while len(self.running) < self.count:
            taken = protocol.claim(self.connection, "s", [uuid.uuid4()], "w")
            if not taken:
                break
            reports = self.trainings[taken[0].trial].attempts[self.ended[taken[0].trial]]
            self.running[taken[0].trial] = Attempt(taken[0], list(reports), TrialStopping(taken[0].stopping))

    def work(self) -> None:
        """Send the next call of a trial."""
        number = self.chance.choice(list(self.running))
        attempt, training = self.running[number], self.trainings[number]
        if attempt.waits and training.asks:
            answer = protocol.report(self.connection, attempt.held, [], [])
        elif attempt.left:
            step, loss = attempt.left.pop(0)
            attempt.stopping.observe(step, loss)
            answer = protocol.report(self.connection, attempt.held, [step], [loss])
        else:
            self.end(number)
            return
        attempt.waits = answer in ("wait", "release")
        if not attempt.stopping.asks_database:
            assert attempt.stopping.is_stopped == (answer == "stop"), "the worker and the database decide alike"
        if training.asks and answer == "release":
            assert protocol.release(self.connection, attempt.held)
            del self.running[number]
        elif training.asks and answer == "stop":
            assert protocol.prune(self.connection, attempt.held, 1.0) in ("pruned", "paused")
            del self.running[number]

    def end(self, number: int) -> None:
        """End an attempt. The last attempt of a training completes the trial."""
        attempt = self.running.pop(number)
        if self.ended[number] + 1 < len(self.trainings[number].attempts):
            self.ended[number] += 1
            assert protocol.fail(self.connection, attempt.held, "the loss is missing", 1.0) == "retry"
        else:
            assert protocol.complete(self.connection, attempt.held, 0.5, {}, 1.0) == "recorded"


def search(
    db: Connection,
    connection: psycopg.Connection[Any],
    trainings: list[Training],
    rule: Mapping[str, Any],
    chance: random.Random,
) -> StudyRow:
    """Run two iterations in any order, and verify the study."""
    settings = {"eta": 2, "min_resource": 1, "max_resource": 8, "audit": 0.0, **rule}
    stopping = EarlyStopping(**settings).model_dump(exclude_none=True)
    of_study = {**spec(TRIALS, max_failures=3), "stopping": stopping, "resolved": {"initial_points": 2}}
    row = studies.create(db, "s", of_study, "0" * 64, 100, {})
    assert row is not None
    for iteration in range(2):
        add_iteration(db, row, iteration, TRIALS)
        workers = Workers(connection, trainings, chance)
        while {"pending", "running", "paused"} & set(states(db, row)):
            workers.claim()
            if workers.running:
                workers.work()
            else:
                promote(db, row, iteration)
        is_complete = "complete" in states(db, row)[-TRIALS:]
        loss = 0.5 if is_complete else None
        assert tell(db, row, iteration, loss, loss) == "told"
    assert verified(db) == 2 * TRIALS
    db.rollback()
    return row


def searched(
    db: Connection, connection: psycopg.Connection[Any], trainings: list[Training], rule: str, chance: random.Random
) -> dict[str, Any]:
    """Run two iterations in any order, and return the verdicts, the cutoffs and the trials of the study."""
    row = search(db, connection, trainings, RULES[rule], chance)
    found = {
        table: connection.execute(f"select {columns} from ledger.{table} order by 1, 2, 3").fetchall()
        for table, columns in FACTS.items()
    }
    studies.delete(db, row)
    return found


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_no_verdict_depends_on_the_order_of_the_calls_of_different_trials(db, connection, rule, seed):
    chance = random.Random(seed)
    trainings = [any_training(chance) for _ in range(2 * TRIALS)]
    first, *others = [searched(db, connection, trainings, rule, random.Random(10 * seed + place)) for place in range(3)]
    assert first["verdict"]
    assert others == [first, first]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_a_replay_of_the_own_rule_repeats_the_verdicts(db, connection, url, run: Run, monkeypatch, rule, seed):
    chance = random.Random(seed)
    trainings = [any_training(chance) for _ in range(2 * TRIALS)]
    if rule == "promotion":  # a rung at which no trial has paused has no verdicts
        trainings = [replace(training, asks=True) for training in trainings]
    row = search(db, connection, trainings, {**RULES[rule], "audit": 0.0}, chance)
    monkeypatch.setenv("DATABASE_URL", url)
    code, out, error = run("stopping", "replay", "s", "--json")
    assert (code, error) == (0, "")
    replayed = [tuple(rung.values()) for rung in json.loads(out)["replays"][0]["rungs"] if rung["trials"]]
    recorded = [(each.rung, each.trials, each.stopped) for each in verdicts.rung_counts(db, row)]
    assert replayed == recorded


class HighestFirst(random.Random):
    """Chooses the highest number, so that each trial reports before the trials with lower numbers."""

    def choice(self, given: Any) -> Any:
        return max(given)


class LowestFirst(random.Random):
    """Chooses the lowest number, so that one worker trains the trials in the order of their numbers."""

    def choice(self, given: Any) -> Any:
        return min(given)


@pytest.mark.parametrize("order", [LowestFirst(), HighestFirst()], ids=["lowest trial first", "highest trial first"])
def test_the_verdict_belongs_to_the_first_attempt_that_reached_the_rung(db, connection, order):
    """The later attempts end before they reach the rung, or report another loss, or a rung that was skipped."""
    trainings = [
        *(Training([[(1, 0.3), (2, 0.3), (4, 0.3)]], asks=True) for _ in range(2)),
        Training([[(1, 0.1)], [(0, 0.2)]], asks=False),
        Training([[(1, 0.1)], [(1, 0.9)]], asks=False),
        Training([[(4, 0.1)], [(1, 0.9)]], asks=False),
        Training([[(1, 0.25)]], asks=False),
    ]
    found = searched(db, connection, 2 * trainings, "groups", order)
    of_trials = [(trial, rung, attempt, loss) for trial, rung, attempt, _, loss, *_ in found["verdict"] if trial < 6]
    assert of_trials[6:] == [(2, 1, 1, 0.1), (3, 1, 1, 0.1), (4, 4, 1, 0.1), (5, 1, 1, 0.25)]
    assert [stops for *_, stops, _ in found["verdict"]][6:10] == [False, False, False, True]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # the second attempt came after the trial had reached the rung
        ("attempt = 2", r"loss 0\.1 of attempt 2, but the reports result in step 1 and loss 0\.1 of attempt 1"),
        ("attempt = 2, loss = 0.9", r"loss 0\.9 of attempt 2, but the reports result in step 1 and loss 0\.1 of"),
    ],
)
def test_a_verdict_on_the_reports_of_another_attempt_is_named(db, connection, url, change, said):
    trainings = [Training([[(1, 0.1), (2, 0.1)], [(1, 0.9), (2, 0.9)]], asks=False) for _ in range(2 * TRIALS)]
    search(db, connection, trainings, RULES["halving"], LowestFirst())
    corrupt(url, f"update ledger.verdict set {change} where trial = 0 and rung = 1")
    with pytest.raises(LedgerError, match=f"trial 0: the verdict at rung 1: .* {said}"):
        verified(db)
    db.rollback()
    with pytest.raises(UsageError, match=f"trial 0: the verdict at rung 1: .* {said}"):
        read("export.json", json.dumps(exported(db)).encode())


def test_a_verdict_at_a_rung_that_the_trial_has_not_reached_is_named(db, connection, url):
    trainings = [Training([[(1, 0.5), (2, 0.5), (3, 0.5)]], asks=False) for _ in range(2 * TRIALS)]
    search(db, connection, trainings, RULES["halving"], LowestFirst())
    corrupt(
        url,
        "insert into ledger.verdict (study_id, trial, rung, attempt, step, loss, cutoff, compared, stops, audited,"
        " decided_at) select study_id, trial, 4, attempt, 3, loss, null, 0, false, audited, decided_at"
        f" from ledger.verdict where trial = {2 * TRIALS - 1} and rung = 1",
    )
    said = f"trial {2 * TRIALS - 1}: the verdict at rung 4: .* the trial has not reached the rung"
    with pytest.raises(LedgerError, match=said):
        verified(db)
    db.rollback()
    with pytest.raises(UsageError, match=said):
        read("export.json", json.dumps(exported(db)).encode())
