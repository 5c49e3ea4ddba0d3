"""Random histories of workers, managers and the clock.

Each answer follows the protocol, and the ledger stays consistent. The workers use Python or psql.
"""

import hashlib
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection

from ledger.database import annotations, artifact_protocol, artifacts, managing, protocol, studies, trials
from ledger.database.annotations import AnnotationChange
from ledger.database.connection import driver, engine
from ledger.database.managing import ClaimedStudy, DecidedRung, PromotedTrials, ProposedBatch, TrialLease
from ledger.database.protocol import ClaimedTrial
from ledger.database.rows import ArtifactRow
from ledger.study.early_stopping import EarlyStopping
from ledger.study.verdicts import compared_trials, cutoff, goes_on, promotion_cutoff, stops
from tests.fuzz import cases
from tests.integration.ledgers import add_iteration, spec, stop_clock
from tests.integration.workers import PackageWorker, PsqlWorker, Worker

LEASE, MAX_FAILURES, MAX_LOST = 30.0, 2, 3
MANAGER_LEASE = 40.0
# with rungs at the steps 1 and 2
RULE = EarlyStopping(rule="halving", eta=2, min_resource=1, max_resource=3, audit=0.0)
PROMOTION = EarlyStopping(rule="promotion", eta=2, min_resource=1, max_resource=3, audit=0.0, brackets=2)
STEADY_PROMOTION = PROMOTION.model_copy(update={"brackets": 1})
GROUPS = RULE.model_copy(update={"group_size": 1})
# the number of releases without a pause (ledger.free_releases)
FREE_RELEASES = 5

CONSISTENT = {
    "a complete trial has exactly one complete attempt, with its loss": """
        select from ledger.trial where (state = 'complete') <> ((
          select count(*) from ledger.attempt
          where attempt.trial = trial.number and outcome = 'complete' and attempt.loss = trial.loss) = 1)""",
    "no trial has two complete attempts": """
        select trial from ledger.attempt where outcome = 'complete' group by trial having count(*) > 1""",
    "a pruned trial has exactly one pruned attempt or was paused, and a verdict stops it": """
        select from ledger.trial where (state = 'pruned') <> ((
          select count(*) from ledger.attempt where attempt.trial = trial.number and outcome = 'pruned') = 1
            or state = 'pruned' and exists (
              select from ledger.attempt
              where attempt.trial = trial.number and number = trial.attempts and outcome = 'paused'))
          or state = 'pruned' and not exists (
            select from ledger.verdict where verdict.trial = trial.number and stops)""",
    "the last attempt of a paused trial has paused": """
        select from ledger.trial where state = 'paused' and not exists (
          select from ledger.attempt
          where attempt.trial = trial.number and number = trial.attempts and outcome = 'paused')""",
    "the attempt of a running trial has not ended, or was presumed lost": """
        select from ledger.trial where state = 'running' and not exists (
          select from ledger.attempt where attempt.claim = trial.claim and coalesce(outcome, 'lost') = 'lost')""",
    "at most one attempt of a trial has not ended": """
        select trial from ledger.attempt where outcome is null group by trial having count(*) > 1""",
    "a trial counts its attempts": """
        select from ledger.trial where attempts <> (
          select count(*) from ledger.attempt where attempt.trial = trial.number)""",
    "no trial is open that failed or was lost as often as it may": f"""
        select from ledger.trial where state in ('pending', 'running', 'paused')
          and (failures >= {MAX_FAILURES} or lost >= {MAX_LOST})""",
    "no trial fails or is lost more often than it may": f"""
        select from ledger.trial where failures > {MAX_FAILURES} or lost > {MAX_LOST}""",
}
INCONSISTENT = " union all ".join(
    f"select '{rule}' where exists ({counterexample})" for rule, counterexample in CONSISTENT.items()
)


@dataclass
class Trial:
    """The protocol's model of a trial."""

    state: str = "pending"
    claim: uuid.UUID | None = None
    attempts: int = 0
    failures: int = 0
    lost: int = 0
    pauses: int = 0
    loss: float | None = None
    leased_at: float = 0.0
    available_at: float = 0.0
    iteration: int = 0
    # at each rung, whether the rule stops the trial, with the step and the loss
    verdicts: dict[int, tuple[bool, int, float | None]] = field(default_factory=dict)
    pruned_at: tuple[int | None, float | None] = (None, None)
    # the rungs after which the trial goes on in spite of the verdict
    promoted: set[int] = field(default_factory=set)

    @property
    def is_open(self) -> bool:
        return self.state in ("pending", "running", "paused")

    @property
    def stopped_at(self) -> int | None:
        """The rung at which the rule stops the trial."""
        rungs = (rung for rung, (stopped, *_) in sorted(self.verdicts.items()) if stopped)
        return next((rung for rung in rungs if rung not in self.promoted), None)

    @property
    def pause(self) -> float:
        """The longest wait of the trial, which follows from the number of its releases."""
        releases = self.attempts - self.failures - self.lost - self.pauses
        return 0 if releases <= FREE_RELEASES else min(2 ** (releases - 6), 3600)

    def is_claimable(self, now: float) -> bool:
        """Whether the trial is pending, and its pause has ended or begins after now, because the clock was set back."""
        return self.state == "pending" and not self.available_at - self.pause <= now < self.available_at


def has_ended(leased_at: float, lease: float, now: float) -> bool:
    """Whether a lease has ended, or was given before the clock was set back by more than one lease."""
    return not leased_at - lease <= now <= leased_at + lease


@dataclass
class Attempt:
    """The protocol's model of an attempt."""

    held: ClaimedTrial
    outcome: str | None = None
    loss: float | None = None
    reports: dict[int, float | None] = field(default_factory=dict)
    # for each reported step, the highest step that the attempt had reported before
    after: dict[int, int] = field(default_factory=dict)


@dataclass
class Iteration:
    """And of an iteration."""

    size: int
    round: int = 0
    is_told: bool = False


@dataclass
class Holder:
    """And of the manager that holds the study."""

    claim: uuid.UUID
    until: float
    has_session: bool = True


def some_run(self: Any) -> bool:
    return any(trial.state == "running" for trial in self.trials.values())


class Histories(RuleBasedStateMachine):
    """Comparison of each answer, and of the rows after each step, with a model of the protocol."""

    # the same for all histories, each of which has a study of its own
    mode: str
    connect: Callable[[], Connection]
    connection: psycopg.Connection[Any]
    db: Connection
    workers: Mapping[str, Worker]
    sessions: dict[str, Connection]
    locker: psycopg.Connection[Any]

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.start = stop_clock(self.connection, 0)
        name = f"s{uuid.uuid4().hex[:8]}"
        limits = {"lease": LEASE, "max_failures": MAX_FAILURES, "max_lost": MAX_LOST}
        self.is_steady = self.mode.startswith("steady")
        self.is_promotion = self.mode == "promotion"
        self.is_steady_promotion = self.mode == "steady promotion"
        self.has_groups = self.mode == "groups"
        stopping = self.stopping().model_dump(exclude_none=True)
        mode = "steady" if self.is_steady else "batch"
        settings = {**spec(3, **limits), "mode": mode, "stopping": stopping}
        row = studies.create(self.db, name, settings, "0" * 64, 3, {})
        assert row is not None
        self.study = row
        add_iteration(self.db, row, 0, 3)
        self.state, self.budget = "running", self.study.budget
        self.managers = {name: ClaimedStudy(self.study.id, uuid.uuid4()) for name in self.sessions}
        self.holder: Holder | None = None
        self.iterations = {0: Iteration(3)}
        self.trials = {number: Trial() for number in range(3)}
        # the losses of the verdicts at each rung, and those that an iteration knows in batch mode
        self.at_rung: dict[int, list[float | None]] = {rung: [] for rung in RULE.rungs}
        self.known_at_rung = {0: {rung: list[float | None]() for rung in RULE.rungs}}
        # the cutoffs of the rule promotion
        self.cutoffs: dict[tuple[int, int], tuple[float, int] | None] = {}
        # the losses that each group of an iteration is compared with at a rung, except for the first group
        self.known_to_group: dict[tuple[int, int, int], list[float | None]] = {}
        # the numbers and the losses of the trials in the order of their arrivals, for the rule promotion in steady mode
        self.arrived: dict[int, list[tuple[int, float | None]]] = {rung: [] for rung in RULE.rungs}
        self.attempts: dict[uuid.UUID, Attempt] = {}
        # the claims that were sent together with each claim
        self.asked: dict[uuid.UUID, list[uuid.UUID]] = {}
        self.seen: list[TrialLease] = []
        # the tags of the study, under None, and of the trials
        self.tags: dict[int | None, set[str]] = {}
        self.is_archived = False
        # the content of each artifact that was saved and not removed
        self.artifacts: dict[tuple[int, int, str], bytes] = {}
        # the content of each kept checkpoint of a trial by its attempt and its step
        self.checkpoints: dict[int, dict[tuple[int, int], bytes]] = {}
        self.ended: dict[Any, str] = {}

    def teardown(self) -> None:
        assert studies.delete(self.db, self.study) == ("deleted" if self.is_free() else "managed")
        if not self.is_free():
            self.leave(self.name_of_holder())
            assert studies.delete(self.db, self.study) == "deleted"

    def any_worker(self, data: st.DataObject) -> Worker:
        """Return the connection of any worker, because only the claim matters."""
        return data.draw(st.sampled_from(list(self.workers.values())))

    def of(self, attempt: Attempt) -> tuple[Trial, bool]:
        """Return the trial of an attempt, and whether the attempt can still write its result."""
        trial = self.trials[attempt.held.trial]
        return trial, trial.claim == attempt.held.claim and trial.is_open

    # Hypothesis prefers the first elements of a list, and would draw few of the later words.
    @initialize(seed=st.integers(0, 2**32 - 1))
    def choose_words(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def claim(self, name: str, wanted: int = 1) -> None:
        pending = [number for number, trial in self.trials.items() if trial.is_claimable(self.now)]
        if self.state != "running":
            pending = []
        claims = [uuid.uuid4() for _ in range(wanted)]
        taken = self.workers[name].claim(self.study.name, claims, name)
        assert [held.trial for held in taken] == pending[: 1 if self.has_groups else wanted]
        assert [held.claim for held in taken] == claims[: len(taken)]
        for held in taken:
            trial = self.trials[held.trial]
            trial.state, trial.claim, trial.leased_at = "running", held.claim, self.now
            trial.attempts += 1
            assert (held.attempt, held.lease_seconds) == (trial.attempts, LEASE)
            self.attempts[held.claim] = Attempt(held)
            self.asked[held.claim] = claims

    # one rule for all calls of workers, because hypothesis leaves whole rules out of a history
    @rule(data=st.data(), names=st.lists(st.sampled_from(["a", "b"]), max_size=3), wanted=st.integers(1, 3))
    def workers_act(self, data: st.DataObject, names: list[str], wanted: int) -> None:
        for name in names:
            self.claim(name, wanted)
        if self.attempts:
            self.say_anything(data)

    @precondition(lambda self: self.state == "running" and self.trials[2].state == "pending")
    @rule(data=st.data())
    def a_poisonous_trial(self, data: st.DataObject) -> None:
        """Fail each attempt of a trial until the trial has failed."""
        for _ in range(MAX_FAILURES):
            self.claim("a")
            self.fail(list(self.attempts.values())[-1], data)

    def say_anything(self, data: st.DataObject) -> None:
        words = [self.heartbeat, self.prune, self.complete, self.fail, self.release, self.refuse, self.claim_again]
        words += [self.a_claim_that_never_was, self.save_artifact, self.keep_checkpoint]
        for _ in range(data.draw(st.integers(1, 4))):
            every = list(self.attempts.values())
            valid = [attempt for attempt in every if self.of(attempt)[1]]
            attempt = self.chance.choice(valid if valid and self.chance.random() < 0.7 else every)
            # half of the words are reports, because a verdict follows from the reports of several trials
            word = self.report if self.chance.random() < 0.5 else self.chance.choice(words)
            word(attempt, data)
            self.the_ledger_is_as_the_protocol_says()

    def take_back_one(self, data: st.DataObject, replaced: bool) -> Attempt:
        """Take all claims back, maybe claim the first trial again, and return a claim that was taken back."""
        held = [trial.claim for trial in self.trials.values() if trial.state == "running"]
        self.leases_run_out(True, data)
        if replaced:
            self.claim("b")
        claim = data.draw(st.sampled_from(held))
        assert claim is not None
        return self.attempts[claim]

    @precondition(some_run)
    @rule(data=st.data(), replaced=st.booleans())
    def a_late_loss(self, data: st.DataObject, replaced: bool) -> None:
        self.complete(self.take_back_one(data, replaced), data)

    @precondition(some_run)
    @rule(data=st.data(), replaced=st.booleans())
    def a_late_heartbeat(self, data: st.DataObject, replaced: bool) -> None:
        self.heartbeat(self.take_back_one(data, replaced), data)

    @precondition(some_run)
    @rule(data=st.data(), replaced=st.booleans())
    def a_late_failure(self, data: st.DataObject, replaced: bool) -> None:
        self.fail(self.take_back_one(data, replaced), data)

    def claim_again(self, attempt: Attempt, data: st.DataObject) -> None:
        asked = self.asked[attempt.held.claim]
        again = self.any_worker(data).claim(self.study.name, asked, "a")
        mine = [self.attempts[claim] for claim in asked if claim in self.attempts]
        held = [one.held for one in mine if self.of(one)[1] and self.of(one)[0].state == "running"]
        # there may be new verdicts, and a new name of the study
        new: dict[str, Any] = {"stopping": None, "study_name": self.study.name}
        assert [replace(one, stopping=None) for one in again] == [replace(one, **new) for one in held]

    def heartbeat(self, attempt: Attempt, data: st.DataObject) -> None:
        trial, mine = self.of(attempt)
        assert self.any_worker(data).heartbeat(attempt.held) == mine
        if mine:  # the claim is valid again if it was taken back and not replaced
            trial.state, trial.leased_at = "running", self.now

    def report(self, attempt: Attempt, data: st.DataObject) -> None:
        """Report some steps. The first report of each step stays."""
        losses = st.none() | st.floats(-1e9, 1e9)
        self.send(attempt, data.draw(st.dictionaries(st.sampled_from([0, 1, 2, 10**15]), losses, max_size=3)), data)

    def send(self, attempt: Attempt, reports: dict[int, float | None], data: st.DataObject) -> None:
        _, mine = self.of(attempt)
        answer = self.any_worker(data).report(attempt.held, reports)
        if not mine:
            assert answer == "stale"
            return
        highest = max(attempt.reports, default=-1)
        for step, loss in reports.items():
            if step not in attempt.reports:
                attempt.reports[step], attempt.after[step] = loss, highest
        assert answer == self.decide(attempt)

    def decide(self, attempt: Attempt) -> str:
        """Decide at each rung that the attempt has reached, as the rule says, and return what the trial must do."""
        trial = self.trials[attempt.held.trial]
        for rung in self.rungs_of(trial.iteration):
            if max(attempt.reports, default=-1) < rung:
                break
            if rung not in trial.verdicts:
                found = self.last_report(attempt.held.trial, rung)
                if found is None:
                    continue
                if self.is_promotion:
                    return "stop"
                if self.has_groups and not self.knows_cutoff(attempt.held.trial, rung):
                    return self.how_to_wait(attempt.held.trial, rung)
                step, loss = found
                self.give_verdict(attempt.held.trial, rung, step, loss)
            if trial.stopped_at == rung:
                return "stop"
        return "continue"

    def give_verdict(self, number: int, rung: int, step: int, loss: float | None) -> None:
        self.trials[number].verdicts[rung] = self.is_stopped(number, rung, loss), step, loss
        self.at_rung[rung].append(loss)

    def group_of(self, number: int) -> int:
        iteration = self.trials[number].iteration
        return GROUPS.group_of(number - self.first_trial(iteration))

    def first_trial(self, iteration: int) -> int:
        return min(number for number, trial in self.trials.items() if trial.iteration == iteration)

    def knows_cutoff(self, number: int, rung: int) -> bool:
        """Return whether the group of a trial can be compared at a rung. Add the groups that can be compared now."""
        iteration, group = self.trials[number].iteration, self.group_of(number)
        if group and (iteration, rung, group) not in self.known_to_group:
            self.compare_groups(iteration, rung, group)
        return not group or (iteration, rung, group) in self.known_to_group

    def compare_groups(self, iteration: int, highest: int, last: int) -> None:
        """Add the groups up to `last` that can be compared at the rungs up to `highest`.

        The trials of the earlier groups have a verdict or have ended. If the iteration has fewer groups, give the
        verdicts on the ended trials of its last group.
        """
        first, size = self.first_trial(iteration), self.iterations[iteration].size
        for rung in (rung for rung in GROUPS.rungs if rung <= highest):
            known = max((group for i, at, group in self.known_to_group if (i, at) == (iteration, rung)), default=0)
            while known < last:
                own = [number for number in range(first, first + size) if self.group_of(number) <= known]
                if any(
                    self.trials[number].state in ("pending", "running")
                    and max(self.trials[number].verdicts, default=0) < rung
                    for number in own
                ):
                    break
                for number in own:
                    trial = self.trials[number]
                    has_ended = trial.state not in ("pending", "running") and self.group_of(number) == known
                    found = self.arrival(number, rung)
                    if has_ended and found is not None:
                        self.give_verdict(number, rung, *found)
                known += 1
                if len(own) == size:
                    break
                self.known_to_group[iteration, rung, known] = [
                    trial.verdicts[rung][2]
                    for number, trial in self.trials.items()
                    if number <= own[-1] and rung in trial.verdicts
                ]
            last = min(last, known)

    def how_to_wait(self, number: int, rung: int) -> str:
        """Return whether a trial that waits at a rung keeps its worker, or releases it for a trial of an earlier
        group."""
        own = [(n, trial) for n, trial in self.trials.items() if trial.iteration == self.trials[number].iteration]
        is_wanted = any(
            trial.is_claimable(self.now)
            and self.group_of(each) < self.group_of(number)
            and max(trial.verdicts, default=0) < rung
            for each, trial in own
        )
        is_last = all(each <= number for each, trial in own if trial.state == "running")
        return "release" if is_wanted and is_last else "wait"

    def is_stopped(self, number: int, rung: int, loss: float | None) -> bool:
        """Return whether the rule stops a trial that arrives at a rung."""
        if self.is_steady_promotion:
            self.arrived[rung].append((number, loss))
            return not goes_on(loss, number, promotion_cutoff(STEADY_PROMOTION.eta, self.arrived[rung]))
        iteration = self.trials[number].iteration
        if self.is_steady:
            others = self.at_rung[rung]
        elif self.has_groups and self.group_of(number):
            others = self.known_to_group[iteration, rung, self.group_of(number)]
        else:
            others = self.known_at_rung[iteration][rung]
        return stops(loss, cutoff(RULE.rule, RULE.eta, others))

    def stopping(self) -> EarlyStopping:
        if self.is_steady_promotion:
            return STEADY_PROMOTION
        if self.has_groups:
            return GROUPS
        return PROMOTION if self.is_promotion else RULE

    def rungs_of(self, iteration: int) -> tuple[int, ...]:
        return self.stopping().rungs_of(iteration)

    def reporting_attempts(self, number: int) -> list[Attempt]:
        """Return the attempts of a trial that have reports, in the order of their numbers."""
        own = [attempt for attempt in self.attempts.values() if attempt.held.trial == number and attempt.reports]
        return sorted(own, key=lambda attempt: attempt.held.attempt)

    def last_report(self, number: int, rung: int) -> tuple[int, float | None] | None:
        """Return the last step at or below a rung, and its loss, from the reports until the trial reached the rung."""
        found = None
        for attempt in self.reporting_attempts(number):
            if known := [step for step in attempt.reports if step <= rung and attempt.after[step] < rung]:
                found = max(known), attempt.reports[max(known)]
            if max(attempt.reports) >= rung:
                break
        return found

    def arrival(self, number: int, rung: int) -> tuple[int, float | None] | None:
        """Return the step and the loss of a trial that has reached a rung of the rule promotion without a verdict."""
        verdicts = self.trials[number].verdicts
        if rung in verdicts or any(stopped for stopped, *_ in verdicts.values()):
            return None
        has_reached = any(max(attempt.reports) >= rung for attempt in self.reporting_attempts(number))
        return self.last_report(number, rung) if has_reached else None

    def prune(self, attempt: Attempt, data: st.DataObject) -> None:
        trial, mine = self.of(attempt)
        answer = self.any_worker(data).prune(attempt.held)
        last = None if trial.stopped_at is None else trial.verdicts[trial.stopped_at][1:]
        can_pause = self.is_promotion or self.is_steady_promotion
        if mine and (
            (self.is_steady_promotion and last is not None)
            or (can_pause and last is None and self.decide(attempt) == "stop")
        ):
            assert answer == "paused"
            trial.state, trial.claim = "paused", None
            trial.pauses += 1
            attempt.outcome = "paused"
        elif mine and last is None:
            assert answer == "continue"
        elif mine:
            assert answer == "pruned"
            assert last is not None
            trial.state, trial.pruned_at = "pruned", last
            attempt.outcome = "pruned"
        elif attempt.outcome in ("pruned", "paused"):
            assert answer == "already"
        else:
            assert answer == "stale"
            if attempt.outcome in (None, "lost"):
                attempt.outcome = "stale"

    def complete(self, attempt: Attempt, data: st.DataObject) -> None:
        """Complete this claim, and maybe others in the same statement. Each answer is the same as for a single call."""
        others = st.lists(st.sampled_from(list(self.attempts.values())), max_size=2)
        results = [(one, data.draw(st.floats(-1e9, 1e9))) for one in (attempt, *data.draw(others))]
        answers = self.any_worker(data).complete([(one.held, loss) for one, loss in results])
        for (one, loss), answer in zip(results, answers, strict=True):
            self.completed(one, loss, answer)

    def completed(self, attempt: Attempt, loss: float, answer: str) -> None:
        trial, mine = self.of(attempt)
        if mine:
            assert answer == "recorded"
            trial.state, trial.loss = "complete", loss
            attempt.outcome, attempt.loss = "complete", loss
        elif attempt.outcome == "complete":
            assert answer == "already"
        else:
            assert answer == "stale"
            if attempt.outcome in (None, "lost"):
                attempt.outcome, attempt.loss = "stale", loss

    def fail(self, attempt: Attempt, data: st.DataObject) -> None:
        trial, mine = self.of(attempt)
        outcome = data.draw(st.sampled_from(["failed", "timeout"]))
        answer = self.any_worker(data).fail(attempt.held, "it broke", outcome)
        if mine:
            trial.failures += 1
            trial.state, trial.claim = ("failed" if trial.failures == MAX_FAILURES else "pending"), None
            trial.available_at = self.now
            assert answer == ("failed" if trial.state == "failed" else "retry")
            attempt.outcome = outcome
        elif attempt.outcome in ("failed", "timeout"):
            assert answer == "already"
        else:
            assert answer == "stale"
            if attempt.outcome in (None, "lost"):
                attempt.outcome = "stale"

    def release(self, attempt: Attempt, data: st.DataObject) -> None:
        trial, mine = self.of(attempt)
        assert self.any_worker(data).release(attempt.held) == mine
        if mine:  # not counted
            trial.state, trial.claim = "pending", None
            attempt.outcome = "released"
            trial.available_at = self.now + trial.pause

    def refuse(self, attempt: Attempt, data: st.DataObject) -> None:
        trial, mine = self.of(attempt)
        assert self.any_worker(data).refuse(attempt.held, "no package") == mine
        if mine:  # not counted, as for a release
            trial.state, trial.claim = "pending", None
            attempt.outcome = "released"
            trial.available_at = self.now + trial.pause

    def save_artifact(self, attempt: Attempt, data: st.DataObject) -> None:
        """Save an artifact, or be interrupted after any call."""
        name, content = data.draw(st.sampled_from("ab")), data.draw(st.sampled_from([b"", b"x", b"y"]))
        if self.save(attempt, name, content, data):
            self.artifacts[attempt.held.trial, attempt.held.attempt, name] = content

    def keep_checkpoint(self, attempt: Attempt, data: st.DataObject) -> None:
        """Keep a checkpoint, or be interrupted after any call. A trial keeps its last two checkpoints."""
        step, content = data.draw(st.integers(0, 4)), data.draw(st.sampled_from([b"", b"x", b"z"]))
        number, name = attempt.held.attempt, f".checkpoint-{step}"
        kept = self.checkpoints.setdefault(attempt.held.trial, {})
        reached = [known for at, known in kept if at == number]
        if self.of(attempt)[1] and step < max(reached, default=0):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="already has a checkpoint of step"):
                artifact_protocol.begin(self.connection, attempt.held, name, "0" * 64, 0, None)
        elif self.save(attempt, name, content, data):
            kept[number, step] = content
            self.checkpoints[attempt.held.trial] = dict(sorted(kept.items())[-2:])

    def save(self, attempt: Attempt, name: str, content: bytes, data: st.DataObject) -> bool:
        """Begin to save an artifact, and return whether the ledger has saved the artifact."""
        _trial, mine = self.of(attempt)
        digest = hashlib.sha256(content).hexdigest()
        calls = data.draw(st.sampled_from([1, 2, 3, 3, 3]))
        answer, begun = artifact_protocol.begin(self.connection, attempt.held, name, digest, len(content), None)
        if not mine:
            assert answer == "stale"
            assert artifact_protocol.add_piece(self.connection, attempt.held, name, 0, b"x") == "stale"
            assert artifact_protocol.save(self.connection, attempt.held, name, uuid.uuid4()) == "stale"
            assert artifact_protocol.last_checkpoints(self.connection, attempt.held) == []
            return False
        assert answer in ("wanted", "stored")
        if calls > 1 and answer == "wanted" and content:
            word = artifact_protocol.add_piece(self.connection, attempt.held, name, 0, content)
            assert word in ("recorded", "already")
        if calls > 2:
            assert begun is not None
            assert artifact_protocol.save(self.connection, attempt.held, name, begun) == "saved"
        return calls > 2

    @precondition(lambda self: self.artifacts)
    @rule(data=st.data())
    def people_remove_artifacts(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.artifacts)))
        row = next(r for r in self.saved_artifacts() if (r.trial, r.attempt, r.name) == key)
        assert artifacts.remove(self.db, self.study.id, row) == "removed"
        assert artifacts.remove(self.db, self.study.id, row) == "already"
        del self.artifacts[key]
        artifacts.discard(self.db)

    @precondition(lambda self: self.artifacts)
    @rule(kept=st.integers(1, 2))
    def a_manager_removes_the_artifacts_of_beaten_trials(self, kept: int) -> None:
        rows = {row.number: row for row in trials.all_of(self.db, self.study.id)}
        present = {trial for trial, _attempt, _name in self.artifacts}
        ranked = sorted(
            (row.loss, number) for number, row in rows.items() if number in present and row.loss is not None
        )
        best = {number for _loss, number in ranked[:kept]}
        artifacts.remove_beaten(self.db, self.study.id, kept)
        for key in list(self.artifacts):
            if rows[key[0]].finished_at is not None and key[0] not in best:
                del self.artifacts[key]

    @precondition(lambda self: self.checkpoints)
    @rule()
    def a_manager_removes_the_checkpoints_of_ended_trials(self) -> None:
        while artifacts.remove_some_checkpoints(self.db, self.study.id):
            pass
        for number in list(self.checkpoints):
            if not self.trials[number].is_open:
                del self.checkpoints[number]

    def saved_artifacts(self) -> list[ArtifactRow]:
        return [row for row in artifacts.of_study(self.db, self.study.id) if row.removed_at is None]

    def a_claim_that_never_was(self, attempt: Attempt, data: st.DataObject) -> None:
        stranger = ClaimedTrial(**{**vars(attempt.held), "claim": uuid.uuid4()})
        worker = self.any_worker(data)
        assert worker.complete([(stranger, 0.5)]) == ["unknown"]
        assert worker.fail(stranger, "it broke", "failed") == "unknown"
        assert worker.report(stranger, {0: 0.5}) == "unknown"
        assert worker.prune(stranger) == "unknown"
        assert not worker.heartbeat(stranger)
        assert not worker.release(stranger)
        assert not worker.refuse(stranger, "no package")
        assert artifact_protocol.begin(self.connection, stranger, "a", "0" * 64, 0, None) == ("unknown", None)
        assert artifact_protocol.save(self.connection, stranger, "a", uuid.uuid4()) == "unknown"

    @rule(seconds=st.sampled_from([5, 31]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        stop_clock(self.connection, self.now)

    @rule(seconds=st.sampled_from([3600, -3600, -61, -45]))
    def the_clock_jumps(self, seconds: int) -> None:
        self.time_passes(seconds)

    @rule(at_once=st.booleans(), data=st.data())
    def leases_run_out(self, at_once: bool, data: st.DataObject) -> None:
        """Find the late claims, and take back these or one that was late before."""
        self.time_passes(31)
        late = [number for number, trial in self.trials.items() if trial.state == "running"]
        leases = managing.leases(self.db, self.study.id)
        assert sorted(lease.trial for lease in leases) == late
        # sorted, because a history must be the same each time that hypothesis tries it
        self.seen += sorted(leases, key=lambda lease: lease.trial)
        if at_once:
            for lease in leases:
                self.take_back(lease)
        elif self.seen:
            self.take_back(data.draw(st.sampled_from(self.seen)))

    def take_back(self, lease: TrialLease) -> None:
        if self.holder is None:
            self.take("m")
        trial = self.trials[lease.trial]
        current = self.connection.execute(
            "select lease_until from ledger.trial where study_id = %s and number = %s", (self.study.id, lease.trial)
        ).fetchone()
        holder = self.name_of_holder()
        for name in self.managers.keys() - {holder}:
            assert managing.reap(self.sessions[name], self.managers[name], lease) is None
        answer = managing.reap(self.sessions[holder], self.managers[holder], lease)
        if current != (lease.until,):
            assert answer is None, "renewed, taken back, ended or claimed again since it was seen"
            return
        if not has_ended(trial.leased_at, LEASE, self.now):
            assert answer is None, "the clock was set back"
            return
        trial.lost += 1
        trial.state = "failed" if trial.lost == MAX_LOST else "pending"
        trial.available_at = self.now
        assert answer == trial.state
        assert trial.claim is not None
        attempt = self.attempts[trial.claim]
        attempt.outcome = attempt.outcome or "lost"

    # again one rule for all that managers do
    @rule(data=st.data())
    def managers_act(self, data: st.DataObject) -> None:
        acts = [self.take, self.leave, self.session_ends]
        writes = [self.propose, self.propose, self.tell, self.finish, self.promote, self.prune_paused]
        for _ in range(data.draw(st.integers(1, 4))):
            name = data.draw(st.sampled_from(list(self.managers)))
            if data.draw(st.booleans()):
                data.draw(st.sampled_from(writes))(name, data)
            else:
                data.draw(st.sampled_from(acts))(name)
            self.the_ledger_is_as_the_protocol_says()
            self.the_study_is_as_its_managers_and_people_left_it()

    def is_free(self) -> bool:
        """Whether the study has no manager that is believed."""
        if self.holder is None or not self.holder.has_session:
            return True
        return has_ended(self.holder.until - MANAGER_LEASE, MANAGER_LEASE, self.now)

    def holds(self, name: str) -> bool:
        """Whether a manager has the claim of the study, perhaps after its lease; a call that writes renews it."""
        return self.holder is not None and self.holder.claim == self.managers[name].claim

    def name_of_holder(self) -> str:
        return next(name for name in self.managers if self.holds(name))

    def renew(self) -> None:
        assert self.holder is not None
        self.holder.until = self.now + MANAGER_LEASE

    def take(self, name: str) -> None:
        held = self.managers[name]
        answer = managing.claim_study(self.sessions[name], held, name, MANAGER_LEASE)
        is_held = self.holds(name) or self.is_free()
        assert answer == ("held" if is_held else "taken")
        if is_held:
            self.holder = Holder(held.claim, self.now + MANAGER_LEASE)

    def leave(self, name: str) -> None:
        managing.leave_study(self.sessions[name], self.managers[name])
        if self.holds(name):
            self.holder = None

    def session_ends(self, name: str) -> None:
        """The manager goes on with another session, which the ledger knows once the claim is renewed."""
        session = self.sessions[name]
        ended = self.connection.execute(
            "select pg_terminate_backend(%s, 60000)", (driver(session).info.backend_pid,)
        ).fetchone()
        assert ended == (True,)
        session.invalidate()
        session.close()
        self.sessions[name] = self.connect()
        if self.holds(name):
            assert self.holder is not None
            self.holder.has_session = False

    def propose(self, name: str, data: st.DataObject, place: tuple[int, int] | None = None) -> None:
        last = max(self.iterations)
        number, round = place or data.draw(
            st.sampled_from([(last + 1, 0), (last, self.iterations[last].round + 1), (last, 0)])
        )
        known = len(self.trials) + data.draw(st.sampled_from([0, 0, 0, -1, 1]))
        points = [{"C": 500.0 + len(self.trials) + index} for index in range(data.draw(st.integers(1, 2)))]
        batch = ProposedBatch(number, round, known, points, None, {}, 0.0, 0.0)
        answer = managing.propose(self.sessions[name], self.managers[name], batch)
        if not self.holds(name):
            assert answer == "lost"
            return
        self.renew()
        if self.state not in ("running", "paused"):
            assert answer == "ended"
        elif known != len(self.trials) or (number == last and (round == 0 or self.iterations[last].is_told)):
            assert answer == "changed"
        else:
            assert answer == "proposed"
            size = len(points) + (self.iterations[last].size if number == last else 0)
            self.iterations[number] = Iteration(size, round)
            if round == 0:
                self.known_at_rung[number] = {rung: list(losses) for rung, losses in self.at_rung.items()}
            for _ in points:
                self.trials[len(self.trials)] = Trial(iteration=number)

    def tell(self, name: str, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(list(self.iterations)))
        iteration = self.iterations[number]
        size = iteration.size + data.draw(st.sampled_from([0, 0, 0, 1]))
        answer = managing.tell(self.sessions[name], self.managers[name], number, size, 0.5, 0.25)
        if not self.holds(name):
            assert answer == "lost"
            return
        self.renew()
        trials = [trial for trial in self.trials.values() if trial.iteration == number]
        if iteration.is_told or size != iteration.size or any(trial.is_open for trial in trials):
            assert answer == "changed"
        else:
            assert answer == "told"
            iteration.is_told = True
            for rung in self.rungs_of(number) if self.is_promotion else ():
                if (number, rung) in self.cutoffs:
                    self.judge(number, rung)
            if self.has_groups:
                self.compare_groups(number, max(GROUPS.rungs), size)

    def promote(self, name: str, data: st.DataObject, number: int | None = None) -> None:
        if self.is_steady_promotion:
            self.promote_arrived(name, data.draw(st.integers(0, 3)))
            return
        if number is None:
            number = data.draw(st.sampled_from(list(self.iterations)))
        answer = managing.promote(self.sessions[name], self.managers[name], number)
        if not self.holds(name):
            assert answer == []
            return
        self.renew()
        decided = []
        trials = {each: trial for each, trial in self.trials.items() if trial.iteration == number}
        for rung in self.rungs_of(number):
            waiting = [each for each, trial in trials.items() if trial.state == "paused"]
            if not waiting or any(trial.state in ("pending", "running") for trial in trials.values()):
                break
            arrivals = {each: found for each in trials if (found := self.arrival(each, rung)) is not None}
            if (number, rung) not in self.cutoffs:
                if not any(each in arrivals for each in waiting):
                    continue
                losses = [(each, loss) for each, (_, loss) in arrivals.items()]
                earlier = [
                    (each, trial.verdicts[rung][2])
                    for each, trial in self.trials.items()
                    if trial.iteration < number and rung in trial.verdicts
                ]
                compared = compared_trials(3, losses, earlier)
                self.cutoffs[number, rung] = promotion_cutoff(PROMOTION.eta, compared)
            if judged := self.judge(number, rung):
                decided.append(DecidedRung(rung, len(judged), judged.count(False)))
            for each in waiting:
                trial = trials[each]
                stopped, step, loss = trial.verdicts.get(rung, (False, None, None))
                if stopped:
                    trial.state, trial.pruned_at = "pruned", (step, loss)
                elif all(self.arrival(each, later) is None for later in self.rungs_of(number)):
                    trial.state, trial.available_at = "pending", self.now
        assert answer == decided

    def ready_for_promotion(self) -> list[tuple[int, int]]:
        """Return the paused trials that can go on in steady mode, and their rungs, in the order of their promotions."""
        found = []
        for number, trial in self.trials.items():
            rung = trial.stopped_at
            if trial.state == "paused" and rung is not None:
                loss = trial.verdicts[rung][2]
                if goes_on(loss, number, promotion_cutoff(STEADY_PROMOTION.eta, self.arrived[rung])):
                    assert loss is not None
                    found.append((-rung, loss, number))
        return [(number, -rung) for rung, _, number in sorted(found)]

    def promote_arrived(self, name: str, free: int) -> None:
        answer = managing.promote_waiting(self.sessions[name], self.managers[name], free)
        if not self.holds(name):
            assert answer == []
            return
        self.renew()
        decided: dict[int, list[int]] = {}
        for number, rung in self.ready_for_promotion()[:free]:
            trial = self.trials[number]
            trial.state, trial.available_at = "pending", self.now
            trial.promoted.add(rung)
            decided.setdefault(rung, []).append(number)
        assert answer == [
            PromotedTrials(rung, len(self.arrived[rung]), numbers) for rung, numbers in sorted(decided.items())
        ]

    def prune_paused(self, name: str, data: st.DataObject) -> None:
        budget = self.budget - data.draw(st.sampled_from([0, 0, 1]))
        answer = managing.prune_paused(self.sessions[name], self.managers[name], budget)
        if not self.holds(name):
            assert answer == "lost"
            return
        self.renew()
        is_busy = any(trial.state in ("pending", "running") for trial in self.trials.values())
        has_ended = self.state not in ("running", "paused")
        if has_ended or budget != self.budget or not self.is_steady_promotion or is_busy or self.ready_for_promotion():
            assert answer == "changed"
            return
        assert answer == "pruned"
        for trial in self.trials.values():
            if trial.state == "paused":
                assert trial.stopped_at is not None
                _, step, loss = trial.verdicts[trial.stopped_at]
                trial.state, trial.pruned_at = "pruned", (step, loss)

    def judge(self, number: int, rung: int) -> list[bool]:
        """Give the verdicts at a rung of the rule promotion. Return whether the rung stops each trial."""
        judged = []
        for each, trial in self.trials.items():
            if trial.iteration == number and (found := self.arrival(each, rung)) is not None:
                judged.append(not goes_on(found[1], each, self.cutoffs[number, rung]))
                trial.verdicts[rung] = judged[-1], *found
        return judged

    @precondition(lambda self: (self.is_promotion or self.is_steady_promotion) and self.state == "running")
    @rule(
        data=st.data(),
        losses=st.lists(st.sampled_from([0.25, 0.5, None]), min_size=8, max_size=8),
        is_followed=st.booleans(),
    )
    def everyone_pauses(self, data: st.DataObject, losses: list[float | None], is_followed: bool) -> None:
        """Train all trials to their next rung, and decide. Sometimes another iteration follows."""
        for _ in self.trials:
            self.claim("a")
        held = [trial.claim for trial in self.trials.values() if trial.state == "running"]
        for place, claim in enumerate(held):
            assert claim is not None
            attempt = self.attempts[claim]
            step = 2 if 1 in self.trials[attempt.held.trial].verdicts else 1
            self.send(attempt, {step: losses[place % len(losses)]}, data)
            self.prune(attempt, data)
        if self.holder is None:
            self.take("m")
        if self.is_steady_promotion:
            self.promote(self.name_of_holder(), data)
            return
        for number in list(self.iterations):
            self.promote(self.name_of_holder(), data, number)
        if is_followed:
            self.propose(self.name_of_holder(), data, (max(self.iterations) + 1, 0))

    @precondition(lambda self: not (self.is_promotion or self.is_steady_promotion) and self.state == "running")
    @rule(
        data=st.data(),
        losses=st.lists(st.sampled_from([0.25, 0.5, 0.75, None]), min_size=8, max_size=8),
        is_followed=st.booleans(),
    )
    def everyone_reports(self, data: st.DataObject, losses: list[float | None], is_followed: bool) -> None:
        """Report the steps of all trials in any order. A trial that the rule stops ends, or goes on unasked."""
        for _ in self.trials:
            self.claim("a")
        held = [trial.claim for trial in self.trials.values() if trial.state == "running"]
        steps = [(claim, step) for claim in held for step in (1, 2)]
        self.chance.shuffle(steps)
        for claim, step in steps:
            assert claim is not None
            attempt = self.attempts[claim]
            if self.of(attempt)[1]:
                self.send(attempt, {step: losses[(attempt.held.trial + step) % len(losses)]}, data)
                if self.chance.random() < 0.3:
                    self.chance.choice([self.prune, self.prune, self.complete, self.release])(attempt, data)
        if is_followed:
            if self.holder is None:
                self.take("m")
            self.propose(self.name_of_holder(), data, (max(self.iterations) + 1, 0))

    def finish(self, name: str, data: st.DataObject) -> None:
        state = data.draw(st.sampled_from(["complete", "failed"]))
        budget = self.budget - data.draw(st.sampled_from([0, 0, 1]))
        answer = managing.finish(self.sessions[name], self.managers[name], state, "it ended", budget)
        if not self.holds(name):
            assert answer == "lost"
            return
        self.renew()
        is_open = any(trial.is_open for trial in self.trials.values())
        if self.state not in ("running", "paused") or budget != self.budget or is_open:
            assert answer == "changed"
        else:
            assert answer == "finished"
            self.state = state

    @precondition(some_run)
    @rule(data=st.data(), number=st.integers(1, 3))
    def a_successor_writes(self, data: st.DataObject, number: int) -> None:
        """A manager takes the study, is silent for longer than its lease, and is replaced; then both go on."""
        self.take("m")
        self.time_passes(31)
        self.time_passes(31)
        self.take("n")
        for name in ("m", "n") * number:
            data.draw(st.sampled_from([self.propose, self.tell, self.finish]))(name, data)
        self.take("m")

    @rule(how=st.sampled_from(["pause", "resume", "resume", "extend"]))
    def people_steer(self, how: str) -> None:
        if how == "extend":
            answer = studies.extend(self.db, self.study.id, self.budget + 1)
            assert answer == ("cancelled" if self.state == "cancelled" else "extended")
            if self.state != "cancelled":
                assert studies.extend(self.db, self.study.id, self.budget + 1) == "unchanged"
                self.budget += 1
                self.state = "running" if self.state == "complete" else self.state
            return
        changed = {"pause": {"running": "paused"}, "resume": {"paused": "running", "failed": "running"}}[how]
        self.state = changed.get(self.state, self.state)
        act = studies.pause if how == "pause" else studies.resume
        assert act(self.db, self.study.id) == self.state

    @rule(data=st.data(), tags=st.sets(st.sampled_from("abc")), untag=st.sets(st.sampled_from("abc")))
    def people_annotate(self, data: st.DataObject, tags: set[str], untag: set[str]) -> None:
        """Annotations are accepted in every state, because they change no result."""
        number = data.draw(st.sampled_from([None, *self.trials, 99]))
        change = AnnotationChange(tags=sorted(tags), untag=sorted(untag))
        if number is None:
            answer = annotations.annotate_study(self.db, self.study.id, change)
        else:
            answer = annotations.annotate_trial(self.db, self.study.id, number, change)
        before = self.tags.get(number, set())
        after = (before | tags) - untag
        if number == 99:
            assert answer == "unknown"
            return
        assert answer == ("unchanged" if after == before else "annotated")
        self.tags[number] = after

    @rule(archived=st.booleans())
    def people_rename_and_archive(self, archived: bool) -> None:
        """The owner renames the study, and archives it or takes it out of the archive."""
        name = f"s{uuid.uuid4().hex[:8]}"
        answer = studies.rename(self.db, self.study, name)
        assert answer == ("renamed" if self.is_free() else "managed")
        if answer == "renamed":
            self.study = replace(self.study, name=name)
            assert studies.rename(self.db, self.study, name) == "unchanged"
        answer = studies.archive(self.db, self.study, archived=archived)
        if archived == self.is_archived:
            assert answer == "unchanged"
        elif archived and not self.is_free():
            assert answer == "managed"
        else:
            assert answer == ("archived" if archived else "restored")
            self.is_archived = archived

    @precondition(lambda self: len(self.attempts) > 6 and self.state in ("running", "paused"))
    @rule()
    def cancel(self) -> None:
        studies.cancel(self.db, self.study.id, "enough")
        self.state = "cancelled"
        for trial in self.trials.values():
            if trial.is_open:
                trial.state = "cancelled"
                if trial.claim is not None:
                    attempt = self.attempts[trial.claim]
                    attempt.outcome = attempt.outcome or "lost"

    @precondition(some_run)
    @rule(data=st.data(), speaks=st.booleans())
    def a_cancellation_meets_a_lock(self, data: st.DataObject, speaks: bool) -> None:
        """A worker leaves a transaction open on its trial, which is cancelled; then it speaks, or its session ends."""
        number = data.draw(st.sampled_from([n for n, trial in self.trials.items() if trial.state == "running"]))
        trial = self.trials[number]
        assert trial.claim is not None
        attempt = self.attempts[trial.claim]
        assert protocol.heartbeat(self.locker, attempt.held)
        assert trials.cancel(self.db, self.study.id, [number], "not wanted") == [number]
        trial.state, attempt.outcome = "cancelled", attempt.outcome or "lost"
        if speaks:
            assert protocol.complete(self.locker, attempt.held, 0.5, {}, 1.0) == "stale"
            attempt.outcome, attempt.loss = "stale", 0.5
            self.locker.commit()
        else:
            self.locker.rollback()
            assert managing.end_cancelled(self.db) == 0

    @invariant()
    def the_ledger_is_consistent(self) -> None:
        assert self.connection.execute(INCONSISTENT).fetchall() == []

    @invariant()
    def the_ledger_is_as_the_protocol_says(self) -> None:
        rows = self.connection.execute(
            "select number, state, attempts, failures, lost, loss, pruned_step, pruned_loss from ledger.trial"
            " order by number"
        ).fetchall()
        assert rows == [
            (n, t.state, t.attempts, t.failures, t.lost, t.loss, *t.pruned_at) for n, t in self.trials.items()
        ]
        decided = self.connection.execute("select trial, rung, stops, step, loss from ledger.verdict").fetchall()
        assert {(trial, rung): tuple(verdict) for trial, rung, *verdict in decided} == {
            (number, rung): verdict for number, t in self.trials.items() for rung, verdict in t.verdicts.items()
        }
        promoted = self.connection.execute("select trial, rung from ledger.promotion order by 1, 2").fetchall()
        assert promoted == [(number, rung) for number, t in self.trials.items() for rung in sorted(t.promoted)]
        kept = self.connection.execute("select claim, trial, outcome, loss from ledger.attempt").fetchall()
        assert {claim: tuple(rest) for claim, *rest in kept} == {
            claim: (attempt.held.trial, attempt.outcome, attempt.loss) for claim, attempt in self.attempts.items()
        }
        reported = self.connection.execute("select trial, attempt, step, loss from ledger.report").fetchall()
        assert {(trial, attempt, step): loss for trial, attempt, step, loss in reported} == {
            (attempt.held.trial, attempt.held.attempt, step): loss
            for attempt in self.attempts.values()
            for step, loss in attempt.reports.items()
        }

    @invariant()
    def the_study_is_as_its_managers_and_people_left_it(self) -> None:
        study = self.connection.execute("select state, budget from ledger.study").fetchall()
        assert study == [(self.state, self.budget)]
        iterations = self.connection.execute(
            "select number, size, round, told_at is not null from ledger.iteration order by number"
        ).fetchall()
        assert iterations == [(n, each.size, each.round, each.is_told) for n, each in self.iterations.items()]
        numbers = self.connection.execute("select iteration from ledger.trial order by number").fetchall()
        assert [number for (number,) in numbers] == [trial.iteration for trial in self.trials.values()]
        holders = self.connection.execute("select claim, lease_until from ledger.manager").fetchall()
        holder = self.holder
        assert holders == ([] if holder is None else [(holder.claim, self.start + timedelta(seconds=holder.until))])
        alive = self.connection.execute("select alive from ledger.managers").fetchall()
        assert alive == ([] if holder is None else [(not self.is_free(),)])

    @invariant()
    def the_annotations_are_as_people_left_them(self) -> None:
        rows = self.connection.execute("select trial, tags from ledger.annotations").fetchall()
        assert dict(rows) == {number: sorted(tags) for number, tags in self.tags.items() if tags}
        kept = self.connection.execute("select study, archived_at is not null from ledger.progress").fetchall()
        assert kept == [(self.study.name, self.is_archived)]

    @invariant()
    def each_saved_artifact_is_read_whole(self) -> None:
        rows = {
            (row.trial, row.attempt, row.name): b"".join(artifacts.pieces(self.db, row.content))
            for row in self.saved_artifacts()
            if row.content is not None
        }
        assert rows == self.artifacts

    @invariant()
    def the_last_checkpoints_of_each_trial_are_read_whole(self) -> None:
        rows = self.connection.execute("select trial, attempt, step, content from ledger.checkpoints").fetchall()
        found: dict[int, dict[tuple[int, int], bytes]] = {}
        for trial, number, step, content in rows:
            found.setdefault(trial, {})[number, step] = b"".join(artifacts.pieces(self.db, content))
        # a person who discards contents also removes the checkpoints of ended trials
        for trial, kept in self.checkpoints.items():
            assert found.get(trial, {}) in ([kept] if self.trials[trial].is_open else [kept, {}])
        assert found.keys() <= self.checkpoints.keys()

    @invariant()
    def what_has_ended_does_not_change(self) -> None:
        rows = self.connection.execute(
            "select number::text, trial::text from ledger.trial"
            " where state in ('complete', 'pruned', 'failed', 'cancelled')"
            " union all select claim::text, attempt::text from ledger.attempt where outcome <> 'lost'"
            " union all select 'iteration ' || number, iteration::text from ledger.iteration where told_at is not null"
        ).fetchall()
        now: dict[Any, str] = dict(rows)
        assert {key: now.get(key) for key in self.ended} == self.ended
        self.ended = now


@pytest.mark.hypothesis
@pytest.mark.parametrize(
    ("made", "mode", "examples"),
    [
        (PackageWorker, "batch", 50),
        (PackageWorker, "steady", 50),
        (PackageWorker, "promotion", 50),
        (PackageWorker, "steady promotion", 50),
        (PackageWorker, "groups", 50),
        (PsqlWorker, "batch", 20),
    ],
    ids=[
        "by the package in batch mode",
        "by the package in steady mode",
        "with promotion",
        "with promotion in steady mode",
        "with groups",
        "by psql alone",
    ],
)
def test_any_history_is_answered_as_the_protocol_says(url, connection, db, made, mode, examples, monkeypatch, request):
    if request.node.get_closest_marker("container"):
        # enough to call each function; the embedded server gets the many histories
        examples //= 5
    monkeypatch.setattr(trials, "CANCEL_SECONDS", 0.0)
    workers = {name: made(url) for name in ("a", "b")}
    sessions = {name: engine(url).connect() for name in ("m", "n")}
    locker = psycopg.connect(url)
    shared = {
        "mode": mode,
        "connection": connection,
        "db": db,
        "workers": workers,
        "sessions": sessions,
        "locker": locker,
    }
    shared["connect"] = staticmethod(lambda: engine(url).connect())
    run_state_machine_as_test(
        type("Histories", (Histories,), shared),
        settings=settings(cases(examples), stateful_step_count=30),
    )
    for each in (*workers.values(), *sessions.values(), locker):
        each.close()
