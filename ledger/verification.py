"""Verification of a study: its records agree with each other, and its proposals can be recomputed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from typing import Any

from ledger.database.rows import OPEN_STATES, TRIAL_STATES, AttemptRow, IterationRow, TrialRow
from ledger.database.transfer import Snapshot
from ledger.errors import LedgerError, UsageError
from ledger.proposals import environment, mean_loss, proposal_input, propose
from ledger.study.spec import StudySpec
from ledger.text import show


@dataclass(frozen=True)
class Verified:
    """What was verified.

    Attributes
    ----------
    trials, attempts, iterations : int
        How many there are.
    recomputed : int
        Proposals, each of one round of an iteration, that were computed again and were the same.
    not_comparable : list of tuple of str
        The place of each proposal that was made in another environment, and what differs.
    """

    trials: int
    attempts: int
    iterations: int
    recomputed: int
    not_comparable: list[tuple[str, str]]


def verify(ledger: Snapshot) -> Verified:
    """Recompute what can be recomputed of a study.

    Raises
    ------
    LedgerError
        Something differs: the first such thing, with its place; or this version cannot read the study's spec.
    """
    study = StudySpec.from_spec(ledger.study.name, ledger.study.budget, ledger.study.spec)
    proposals = list(_proposals(ledger))
    for difference in chain(disagreements(ledger, study), _recomputed(ledger, study, proposals)):
        raise LedgerError(f"study {ledger.study.name}, {difference}")
    other = [(proposal.place, proposal.elsewhere) for proposal in proposals if proposal.elsewhere is not None]
    return Verified(
        trials=len(ledger.trials),
        attempts=len(ledger.attempts),
        iterations=len(ledger.iterations),
        recomputed=len(proposals) - len(other),
        not_comparable=other,
    )


def disagreements(ledger: Snapshot, study: StudySpec) -> Iterator[str]:
    """Yield where a ledger's records disagree with each other, each with its place; nothing is computed again."""
    # later checks rely on the numbers
    yield from chain(_numbers(ledger), _facts(ledger, study))


def _numbers(ledger: Snapshot) -> Iterator[str]:
    """Differences between how things are numbered and how they count."""
    numbers = {
        "iteration": [iteration.number for iteration in ledger.iterations],
        "trial": [trial.number for trial in ledger.trials],
    }
    for kind, of_kind in numbers.items():
        for expected, number in enumerate(of_kind):
            if number != expected:
                yield f"{kind} {expected}: missing, the next is {number}"
    for before, trial in pairwise(ledger.trials):
        if trial.iteration < before.iteration:
            yield f"trial {trial.number}: of iteration {trial.iteration}, but trial {before.number} is of a later one"
    for trial in ledger.trials:
        if trial.iteration >= len(ledger.iterations):
            yield f"trial {trial.number}: of iteration {trial.iteration}, which does not exist"
    for number, attempts in groupby(ledger.attempts, key=lambda attempt: attempt.trial):
        if number >= len(ledger.trials):
            yield f"trial {number}: has an attempt, but does not exist"
        for expected, attempt in enumerate(attempts, start=1):
            if attempt.number != expected:
                yield f"trial {number}: attempt {expected} is missing, the next is {attempt.number}"


def _facts(ledger: Snapshot, study: StudySpec) -> Iterator[str]:
    attempts: list[list[AttemptRow]] = [[] for _ in ledger.trials]
    for attempt in ledger.attempts:
        attempts[attempt.trial].append(attempt)
    trials: list[list[TrialRow]] = [[] for _ in ledger.iterations]
    for trial in ledger.trials:
        trials[trial.iteration].append(trial)

    for trial in ledger.trials:
        own = attempts[trial.number]
        for difference in chain(
            _state(trial, study), _counts(trial, own), _result(trial, own), _retry(trial, ledger.trials)
        ):
            yield f"trial {trial.number}: {difference}"
    steady = study.mode == "steady"
    for iteration in ledger.iterations:
        may_wait = steady or iteration is ledger.iterations[-1]
        for difference in _iteration(iteration, trials[iteration.number], may_wait=may_wait, may_fail=steady):
            yield f"iteration {iteration.number}: {difference}"
    for difference in chain(_study(ledger, study), _seen(ledger) if steady else _ends(ledger, study, trials)):
        yield f"the study itself: {difference}"


def _state(trial: TrialRow, study: StudySpec) -> Iterator[str]:
    """Differences between a trial's state and its columns."""
    state, limits = trial.state, study.limits
    if state not in TRIAL_STATES:
        yield f"unknown state {show(state)}"
    try:
        study.space.normalise(trial.params)
    except UsageError as error:
        yield str(error)
    wanted = {
        "finished_at": state not in OPEN_STATES,
        "loss": state == "complete",
        "metrics": state == "complete",
        "lease_until": state == "running",
    }
    if state == "running":
        wanted |= {"worker": True, "claimed_at": True}
    if state == "failed":
        wanted |= {"error": True}
    for column, there in wanted.items():
        if (getattr(trial, column) is not None) != there:
            yield f"state {state} {'without' if there else 'with'} a value of {column}"
    if trial.loss is not None and not math.isfinite(trial.loss):
        yield f"loss {trial.loss}, which is not finite"
    used_up = trial.failures >= limits.max_failures or trial.lost >= limits.max_lost
    if used_up != (state == "failed"):
        yield (
            f"state {state} with {trial.failures} of {limits.max_failures} failures"
            f" and lost {trial.lost} of {limits.max_lost} times"
        )


def _counts(trial: TrialRow, attempts: Sequence[AttemptRow]) -> Iterator[str]:
    """Differences between what a trial counts and its attempts."""
    outcomes = [attempt.outcome for attempt in attempts]
    if trial.attempts != len(attempts):
        yield f"attempts {trial.attempts}, but {len(attempts)} are recorded"
    failed = outcomes.count("failed") + outcomes.count("timeout")
    if trial.failures != failed:
        yield f"failures {trial.failures}, but {failed} attempts failed or were ended at their deadline"
    # A holder's own word may have replaced a lost attempt, and one that was revived may have been lost again; the last
    # one of a cancelled trial was ended by that.
    lost = outcomes.count("lost") - (trial.state == "cancelled" and outcomes[-1:] == ["lost"])
    if trial.lost < lost:
        yield f"lost {trial.lost}, but {lost} attempts were lost"
    if trial.lost and all(outcome is None for outcome in outcomes):
        yield f"lost {trial.lost}, but no attempt has ended"
    for attempt in attempts:
        if (attempt.outcome is None) != (attempt.ended_at is None):
            yield f"attempt {attempt.number} has outcome {attempt.outcome} and ended_at {attempt.ended_at}"
    under_way = [attempt.number for attempt in attempts if attempt.outcome is None]
    if len(under_way) > 1:
        yield f"attempts {' and '.join(map(str, under_way))} have not ended"
    if under_way and (trial.state != "running" or under_way[-1] != len(attempts)):
        yield f"attempt {under_way[-1]} has not ended, but the trial is {trial.state} and has {len(attempts)} attempts"
    if trial.state == "running" and outcomes[-1:] not in ([None], ["lost"]):
        yield f"state running, but the last attempt is {outcomes[-1] if outcomes else 'missing'}"


def _result(trial: TrialRow, attempts: Sequence[AttemptRow]) -> Iterator[str]:
    """Differences between a trial's result and its one complete attempt."""
    if trial.source == "imported":
        if trial.state != "complete":
            yield f"imported, but {trial.state}"
        # its loss was measured elsewhere; attempts are counted above
        if trial.attempts:
            yield f"imported, but with {trial.attempts} attempts"
        return
    complete = [attempt for attempt in attempts if attempt.outcome == "complete"]
    if len(complete) != (trial.state == "complete"):
        yield f"state {trial.state} with {len(complete)} complete attempts"
    for attempt in complete:
        for column in ("loss", "worker"):
            of_trial, of_attempt = getattr(trial, column), getattr(attempt, column)
            if of_trial != of_attempt:
                yield f"{column} {of_trial}, but attempt {attempt.number} has {of_attempt}"


def _retry(trial: TrialRow, trials: Sequence[TrialRow]) -> Iterator[str]:
    """Differences between a retry and what it retries."""
    if (trial.source == "retried") != (trial.retry_of is not None):
        yield f"source {trial.source} with retry_of {trial.retry_of}"
    if trial.retry_of is None:
        return
    if trial.retry_of >= trial.number:
        yield f"retry of trial {trial.retry_of}, which is not before it"
        return
    retried = trials[trial.retry_of]
    if retried.state not in ("failed", "cancelled"):
        yield f"retry of trial {retried.number}, which is {retried.state}"
    if trial.params != retried.params:
        yield f"retry of trial {retried.number}, which has other parameters: {show(retried.params)}"
    others = [other.number for other in trials[: trial.number] if other.retry_of == trial.retry_of]
    if others:
        yield f"retry of trial {retried.number}, as is trial {others[0]}"


def _iteration(iteration: IterationRow, trials: Sequence[TrialRow], *, may_wait: bool, may_fail: bool) -> Iterator[str]:
    if iteration.size != len(trials):
        yield f"size {iteration.size}, but it has {len(trials)} trials"
    rounds = max((trial.round for trial in trials), default=iteration.round)
    if rounds != iteration.round:
        yield f"round {iteration.round}, but a trial is of round {rounds}"
    if iteration.surrogate is not None and all(trial.source != "proposed" for trial in trials):
        yield "a surrogate, but no proposed trials"
    losses = [trial.loss for trial in trials if trial.loss is not None]
    is_proven = any(trial.state == "complete" and trial.source != "imported" for trial in trials)
    if iteration.told_at is None:
        if not may_wait:
            yield "not told, but a later one was proposed"
        losses = []
    elif any(trial.state in OPEN_STATES for trial in trials):
        yield "told, but not all of its trials have ended"
    elif not (is_proven or may_fail) and any(trial.source == "proposed" for trial in trials):
        yield "told, but no trial of it is complete"
    expected = {"mean_loss": mean_loss(losses) if losses else None, "best_loss": min(losses, default=None)}
    for column, value in expected.items():
        if getattr(iteration, column) != value:
            yield f"{column} {getattr(iteration, column)}, but its trials give {value}"


def _study(ledger: Snapshot, study: StudySpec) -> Iterator[str]:
    row = ledger.study
    # a newer version may know more settings, whose defaults were not hashed
    if study.spec() == row.spec and study.spec_hash != row.spec_hash:
        yield f"spec_hash {row.spec_hash[:8]}, but its settings give {study.spec_hash[:8]}"
    if row.has_ended != (row.finished_at is not None):
        yield f"state {row.state} with finished_at {row.finished_at}"
    if row.has_ended:
        for trial in ledger.trials:
            if trial.state in OPEN_STATES:
                yield f"state {row.state}, but trial {trial.number} is {trial.state}"
    for iteration in ledger.iterations:
        if row.state == "complete" and iteration.told_at is None:
            yield f"state complete, but iteration {iteration.number} is not told"


def _ends(ledger: Snapshot, study: StudySpec, trials: Sequence[Sequence[TrialRow]]) -> Iterator[str]:
    """Differences between how a study in batch mode stands and its iterations."""
    row = ledger.study
    rounds = {iteration.number: iteration.round for iteration in ledger.iterations}
    # a round in which every trial failed was replaced, and does not count
    counted = [
        trial for trial in ledger.trials if trial.source == "proposed" and trial.round == rounds[trial.iteration]
    ]
    if len(counted) > row.budget:
        yield f"a budget of {row.budget} trials, but {len(counted)} were proposed"
    size, tried = study.space.size(), sum(trial.retry_of is None for trial in ledger.trials)
    if row.state == "complete" and len(counted) < row.budget and (size is None or tried < size):
        yield f"state complete after {len(counted)} of {row.budget} proposed trials"
    untold = [iteration for iteration in ledger.iterations if iteration.told_at is None]
    if row.state == "failed":
        if not untold:
            yield "state failed, but every iteration is told"
        for iteration in untold:
            for trial in trials[iteration.number]:
                if trial.state == "complete" and trial.source != "imported":
                    yield f"state failed, but trial {trial.number} of its last iteration is complete"


def _seen(ledger: Snapshot) -> Iterator[str]:
    """Differences between how a study in steady mode stands, what its iterations saw, and its trials."""
    row = ledger.study
    seen: set[int] = set()
    for iteration in ledger.iterations:
        for number in iteration.seen or ():
            place = f"iteration {iteration.number} saw the end of trial {number}"
            trial = ledger.trials[number] if 0 <= number < len(ledger.trials) else None
            if trial is None:
                yield f"{place}, which does not exist"
                return
            if number in seen:
                yield f"{place}, which one before it saw"
            if trial.iteration >= iteration.number:
                yield f"{place}, which is not of one before it"
            if trial.finished_at is None or trial.finished_at > iteration.asked_at:
                yield f"{place}, which had not ended"
            seen.add(number)
    completed = [trial.number for trial in ledger.trials if trial.state == "complete" and trial.source != "imported"]
    if row.state == "failed" and completed:
        yield f"state failed, but trial {completed[0]} is complete"
    # where every trial failed, others were tried instead
    spent = sum(trial.source == "proposed" and trial.state != "failed" for trial in ledger.trials)
    if spent > row.budget:
        yield f"a budget of {row.budget} trials, but {spent} were proposed that did not fail"


@dataclass(frozen=True)
class _Proposal:
    """What the ledger records of one round's proposal.

    `before` is the last surrogate of an earlier iteration, `seen` the trials whose end was seen, in steady mode, and
    `elsewhere` says how the environment differs from that of here.
    """

    place: str
    iteration: IterationRow
    round: int
    trials: Sequence[TrialRow]
    before: Mapping[str, Any] | None
    seen: Sequence[int] | None
    elsewhere: str | None


def _proposals(ledger: Snapshot) -> Iterator[_Proposal]:
    here = environment()
    proposed = [trial for trial in ledger.trials if trial.source == "proposed"]
    rounds = {key: list(trials) for key, trials in groupby(proposed, key=lambda trial: (trial.iteration, trial.round))}
    # An iteration keeps the environment of its last round; that of an earlier one lies between it and what was before.
    before: Mapping[str, Any] = ledger.study.versions
    surrogate = None
    seen: list[int] = []
    for iteration in ledger.iterations:
        seen += iteration.seen or ()
        for number in range(iteration.round + 1):
            if trials := rounds.get((iteration.number, number)):
                is_last = number == iteration.round
                elsewhere = _unlike(iteration.environment, here)
                if elsewhere is None and not is_last and (unlike := _unlike(before, here)) is not None:
                    elsewhere = f"the environment of a round before the last is not recorded, and before it {unlike}"
                place = f"iteration {iteration.number}" + (f", round {number}" if iteration.round else "")
                order = None if iteration.seen is None else tuple(seen)
                yield _Proposal(place, iteration, number, trials, surrogate, order, elsewhere)
        before = iteration.environment or before
        surrogate = iteration.surrogate or surrogate


def _recomputed(ledger: Snapshot, study: StudySpec, proposals: Sequence[_Proposal]) -> Iterator[str]:
    """Differences between the recorded proposals and those that follow from the seed and the history."""
    for proposal in proposals:
        if proposal.elsewhere is not None:
            continue
        number, round = proposal.iteration.number, proposal.round
        given = proposal_input(ledger.trials, number, round, proposal.before, proposal.seen)
        computed = propose(study, number, round, len(proposal.trials), given)
        if len(computed.points) != len(proposal.trials):
            yield (
                f"{proposal.place}: {len(proposal.trials)} points are recorded, but {len(computed.points)} follow"
                " from the seed and the trials before it"
            )
        for trial, point in zip(proposal.trials, computed.points, strict=False):
            for name in dict.fromkeys([*point, *trial.params]):
                recorded, follows = trial.params.get(name), point.get(name)
                if recorded != follows:
                    yield (
                        f"trial {trial.number} ({proposal.place}): {name} {show(recorded)} is recorded, but"
                        f" {show(follows)} follows from the seed and the trials before it"
                    )
        # a later round's model replaced that of an earlier one
        if round == proposal.iteration.round:
            yield from _surrogate(proposal.place, proposal.iteration.surrogate or {}, computed.surrogate or {})


def _surrogate(place: str, recorded: Mapping[str, Any], computed: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*computed, *recorded]):
        if recorded.get(name) != computed.get(name):
            yield (
                f"{place}: the surrogate's {name} {show(recorded.get(name))} is recorded, but"
                f" {show(computed.get(name))} follows from the seed and the trials before it"
            )


def _unlike(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Say how an environment differs from that of here; None where it does not."""
    differences = [
        f"{name} {_plain(recorded.get(name))} recorded, {_plain(here.get(name))} here"
        for name in dict.fromkeys([*here, *recorded])
        if recorded.get(name) != here.get(name)
    ]
    return "; ".join(differences) or None


def _plain(value: Any) -> str:
    if value is None:
        return "nothing"
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)
