"""Verification of records: the rows of a study must agree with each other."""

import hashlib
import math
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, groupby, pairwise
from typing import Any

from ledger.database.rows import OPEN_STATES, TRIAL_STATES, AttemptRow, IterationRow, TrialRow
from ledger.database.transfer import StudySnapshot
from ledger.errors import UsageError
from ledger.objectives.fingerprint import digest_parts
from ledger.proposals import mean_loss
from ledger.study.spec import StudySpec
from ledger.text import show
from ledger.verification import verdicts

# Each key of _TOTALS is the name of a total. Each value of _TOTALS is a function that returns the amount that one trial
# adds to the total.
_TOTALS: Mapping[str, Callable[[TrialRow, IterationRow], int]] = {
    "total_proposed": lambda trial, iteration: trial.source == "proposed" and trial.round == iteration.round,
    "total_complete": lambda trial, _: trial.state == "complete",
    "total_pruned": lambda trial, _: trial.state == "pruned",
    "total_failed": lambda trial, _: trial.state == "failed",
    "total_cancelled": lambda trial, _: trial.state == "cancelled",
    "total_attempts": lambda trial, _: trial.attempts,
    "total_failures": lambda trial, _: trial.failures,
    "total_crashes": lambda trial, _: trial.crashes,
    "total_lost": lambda trial, _: trial.lost,
}


def disagreements(ledger: StudySnapshot, study: StudySpec) -> Iterator[str]:
    """Yield the contradictions between a study's records. Each yielded text describes one contradiction, and names the
    trial or the iteration that contains the contradiction.

    The function recomputes no proposals.
    """
    # `_facts` uses the numbers of iterations and trials as list indices. Therefore `_numbers` checks the numbers of
    # iterations and trials first.
    yield from chain(_numbers(ledger), _facts(ledger, study), _values(ledger, study))
    yield from verdicts.disagreements(ledger, study)
    for trial in sorted(ledger.changed_reports):
        yield (
            f"trial {trial}: the reports or the arrivals differ from the hash that the ledger recorded when the trial"
            " ended"
        )


def _numbers(ledger: StudySnapshot) -> Iterator[str]:
    """Check the numbering of the iterations, trials and attempts. Yield each error, such as a missing number."""
    numbers = {
        "iteration": [iteration.number for iteration in ledger.iterations],
        "trial": [trial.number for trial in ledger.trials],
    }
    for kind, of_kind in numbers.items():
        for expected, number in enumerate(of_kind):
            if number != expected:
                yield f"{kind} {expected} is missing, and the next {kind} is {number}"
    for before, trial in pairwise(ledger.trials):
        if trial.iteration < before.iteration:
            yield (
                f"trial {trial.number}: the trial belongs to iteration {trial.iteration}, but the earlier trial"
                f" {before.number} belongs to iteration {before.iteration}"
            )
    for trial in ledger.trials:
        if not 0 <= trial.iteration < len(ledger.iterations):
            yield f"trial {trial.number}: the trial belongs to iteration {trial.iteration}, which does not exist"
    for number, attempts in groupby(ledger.attempts, key=lambda attempt: attempt.trial):
        if not 0 <= number < len(ledger.trials):
            yield f"trial {number}: the trial does not exist, but an attempt refers to it"
        for expected, attempt in enumerate(attempts, start=1):
            if attempt.number != expected:
                yield f"trial {number}: attempt {expected} is missing, and the next attempt is {attempt.number}"


def _facts(ledger: StudySnapshot, study: StudySpec) -> Iterator[str]:
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
    of_mode = _seen(ledger) if steady else _ends(ledger, study, trials)
    for difference in chain(_study(ledger, study), _code(ledger), of_mode, _stop(ledger, study)):
        yield f"the study itself: {difference}"
    yield from _totals(ledger, trials)


def _values(ledger: StudySnapshot, study: StudySpec) -> Iterator[str]:
    """Yield the values that contradict the recorded losses.

    In a database, views compute the values from the losses. Therefore only an exported file can contain a wrong value.
    """
    objective = study.objective

    def differs(
        place: str, value: float | None, loss: float | None, metrics: Mapping[str, Any] | None
    ) -> Iterator[str]:
        follows = None if loss is None else objective.value(loss, metrics)
        if value != follows:
            yield f"{place} is {value}, but the loss {loss} results in the value {follows}"

    for trial in ledger.trials:
        yield from differs(f"trial {trial.number}: the value", trial.value, trial.loss, trial.metrics)
    for attempt in ledger.attempts:
        place = f"trial {attempt.trial}: the value of attempt {attempt.number}"
        yield from differs(place, attempt.value, attempt.loss, None)
    for iteration in ledger.iterations:
        place = f"iteration {iteration.number}:"
        yield from differs(f"{place} mean_value", iteration.mean_value, iteration.mean_loss, None)
        yield from differs(f"{place} best_value", iteration.best_value, iteration.best_loss, None)


def _state(trial: TrialRow, study: StudySpec) -> Iterator[str]:
    """Yield the contradictions between a trial's state and the other columns of the trial's row."""
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
        "pruned_step": state == "pruned",
        "lease_until": state == "running",
    }
    if state == "running":
        wanted |= {"worker": True, "claimed_at": True}
    if state == "failed":
        wanted |= {"error": True}
    for column, there in wanted.items():
        if (getattr(trial, column) is not None) != there:
            yield f"the state is {state}, but the column `{column}` is {'null' if there else 'not null'}"
    if trial.loss is not None and not math.isfinite(trial.loss):
        yield f"the loss {trial.loss} is not finite"
    used_up = (
        trial.failures >= limits.max_failures or trial.crashes >= limits.max_crashes or trial.lost >= limits.max_lost
    )
    if used_up != (state == "failed"):
        yield (
            f"the state is {state}, but the trial has {trial.failures} failures (limit {limits.max_failures}),"
            f" {trial.crashes} crashes (limit {limits.max_crashes}) and was lost {trial.lost} times (limit"
            f" {limits.max_lost})"
        )


def _counts(trial: TrialRow, attempts: Sequence[AttemptRow]) -> Iterator[str]:
    """Compare the counts in a trial's row with the trial's attempts, and yield the contradictions."""
    outcomes = [attempt.outcome for attempt in attempts]
    if trial.attempts != len(attempts):
        yield f"the trial's row records {trial.attempts} attempts, but {len(attempts)} attempts exist"
    failed = outcomes.count("failed") + outcomes.count("timeout")
    if trial.failures != failed:
        yield f"the trial's row records {trial.failures} failures, but {failed} attempts failed or timed out"
    crashed = outcomes.count("crashed")
    if trial.crashes != crashed:
        yield f"the trial's row records {trial.crashes} crashes, but {crashed} attempts crashed"
    # `trial.lost` may be larger than the number of attempts whose outcome is "lost". If the worker of a lost attempt
    # later sends a result, the result replaces the outcome "lost". If a heartbeat restores a lost attempt, the same
    # attempt can be lost a second time. If an attempt was lost because a user cancelled the trial, `trial.lost` does
    # not include the attempt.
    lost = outcomes.count("lost") - (trial.state == "cancelled" and outcomes[-1:] == ["lost"])
    if trial.lost < lost:
        yield f"the trial's row records {trial.lost} lost attempts, but {lost} attempts were lost"
    if trial.lost and all(outcome is None for outcome in outcomes):
        yield f"the trial's row records {trial.lost} lost attempts, but none of the trial's attempts has ended"
    for attempt in attempts:
        if (attempt.outcome is None) != (attempt.ended_at is None):
            yield f"attempt {attempt.number} has the outcome {attempt.outcome}, but `ended_at` is {attempt.ended_at}"
    under_way = [attempt.number for attempt in attempts if attempt.outcome is None]
    if len(under_way) > 1:
        yield f"attempts {' and '.join(map(str, under_way))} have not ended"
    if under_way and (trial.state != "running" or under_way[-1] != len(attempts)):
        yield (
            f"attempt {under_way[-1]} of {len(attempts)} has not ended, and the trial is {trial.state}; only the last"
            " attempt of a running trial can be unfinished"
        )
    if trial.state == "running" and outcomes[-1:] not in ([None], ["lost"]):
        yield f"the state is running, but the last attempt is {outcomes[-1] if outcomes else 'missing'}"
    if trial.state == "paused" and outcomes[-1:] != ["paused"]:
        yield f"the state is paused, but the last attempt is {outcomes[-1] if outcomes else 'missing'}"


def _result(trial: TrialRow, attempts: Sequence[AttemptRow]) -> Iterator[str]:
    """Yield the contradictions between the result of a trial and the result of the attempt that completed the trial."""
    if trial.source == "imported":
        if trial.state not in ("complete", "pruned"):
            yield f"the trial was imported, but its state is {trial.state}"
        # The user measured the loss of an imported trial outside the ledger.
        if trial.attempts:
            yield f"the trial was imported, but has {trial.attempts} attempts"
        return
    for outcome in ("complete", "pruned"):
        count = sum(attempt.outcome == outcome for attempt in attempts)
        # If the rule prunes a paused trial, the trial's last attempt has the outcome "paused".
        was_paused = outcome == "pruned" and attempts[-1:] and attempts[-1].outcome == "paused"
        if count != (trial.state == outcome and not was_paused):
            yield f"the state is {trial.state}, but {count} attempts are {outcome}"
    complete = [attempt for attempt in attempts if attempt.outcome == "complete"]
    for attempt in complete:
        for column in ("loss", "worker"):
            of_trial, of_attempt = getattr(trial, column), getattr(attempt, column)
            if of_trial != of_attempt:
                yield (
                    f"the trial's {column} is {of_trial}, but the {column} of attempt {attempt.number} is {of_attempt}"
                )


def _retry(trial: TrialRow, trials: Sequence[TrialRow]) -> Iterator[str]:
    """Yield the contradictions between a trial and its retry, which is a new trial with the same parameters."""
    if (trial.source == "retried") != (trial.retry_of is not None):
        yield f"`source` is {trial.source}, but `retry_of` is {trial.retry_of}"
    if trial.retry_of is None:
        return
    if trial.retry_of >= trial.number:
        yield f"the trial is a retry of trial {trial.retry_of}, which is not an earlier trial"
        return
    retried = trials[trial.retry_of]
    if retried.state not in ("failed", "cancelled"):
        yield f"the trial is a retry of trial {retried.number}, which is {retried.state}"
    if trial.params != retried.params:
        yield f"the trial is a retry of trial {retried.number}, which has different parameters: {show(retried.params)}"
    others = [other.number for other in trials[: trial.number] if other.retry_of == trial.retry_of]
    if others:
        yield f"the trial is a second retry of trial {retried.number}; the first retry is trial {others[0]}"


def _iteration(iteration: IterationRow, trials: Sequence[TrialRow], *, may_wait: bool, may_fail: bool) -> Iterator[str]:
    if iteration.size != len(trials):
        yield f"the recorded size is {iteration.size}, but the iteration has {len(trials)} trials"
    rounds = max((trial.round for trial in trials), default=iteration.round)
    if rounds != iteration.round:
        yield f"the recorded last round is {iteration.round}, but the last round with a trial is round {rounds}"
    proposed = sum(trial.source == "proposed" and trial.round == 0 for trial in trials)
    if (iteration.batch_size is None) != (proposed == 0):
        yield f"the batch size is {iteration.batch_size}, but {proposed} trials were proposed"
    if iteration.batch_size is not None and proposed > iteration.batch_size:
        yield f"the batch size is {iteration.batch_size}, but {proposed} trials were proposed together"
    if iteration.surrogate is not None and all(trial.source != "proposed" for trial in trials):
        yield "the iteration has a surrogate, but no proposed trials"
    losses = [trial.loss for trial in trials if trial.loss is not None]
    is_proven = any(trial.is_proof for trial in trials)
    if iteration.told_at is None:
        if not may_wait:
            yield "the optimizer has not received the iteration's results, but a later iteration was proposed"
        losses = []
    elif any(trial.state in OPEN_STATES for trial in trials):
        yield "the optimizer has received the iteration's results, but a trial of the iteration has not ended"
    elif not (is_proven or may_fail) and any(trial.source == "proposed" for trial in trials):
        yield "the optimizer has received the iteration's results, but no trial of the iteration is complete"
    expected = {"mean_loss": mean_loss(losses) if losses else None, "best_loss": min(losses, default=None)}
    for column, value in expected.items():
        if getattr(iteration, column) != value:
            yield f"`{column}` is {getattr(iteration, column)}, but the losses of the trials result in {value}"


def _totals(ledger: StudySnapshot, trials: Sequence[Sequence[TrialRow]]) -> Iterator[str]:
    """Compare the recorded totals of the iterations with the iterations' trials, and yield the contradictions.

    The totals of an iteration include the trials of this iteration, and the trials of all iterations that were marked
    as told before this iteration. The file sql/functions/mark_told.sql describes the totals and the improvements.
    """
    for iteration in ledger.iterations:
        own = trials[iteration.number]
        if own and iteration.first_trial != own[0].number:
            yield (
                f"iteration {iteration.number}: `first_trial` is {iteration.first_trial}, but the first trial is trial"
                f" {own[0].number}"
            )
        if (iteration.told is None) != (iteration.told_at is None):
            yield f"iteration {iteration.number}: `told` is {iteration.told}, but `told_at` is {iteration.told_at}"
    totals = dict.fromkeys(_TOTALS, 0)
    last_complete: int | None = None
    improved: list[int] = []
    told = {iteration.told: iteration for iteration in ledger.iterations if iteration.told is not None}
    for position, (found, iteration) in enumerate(sorted(told.items()), start=1):
        if found != position:
            yield f"iteration {iteration.number}: `told` is {found}, but no iteration has `told` = {position}"
            return
        own = trials[iteration.number]
        for column, count in _TOTALS.items():
            totals[column] += sum(count(trial, iteration) for trial in own)
        losses = {trial.number: trial.loss for trial in own if trial.loss is not None}
        if losses:
            last_complete = max(*losses, -1 if last_complete is None else last_complete)
        place = bisect(improved, iteration.number)
        lowest = ledger.iterations[improved[place - 1]].best_loss if place else None
        improvements = []
        for number, loss in losses.items():
            if lowest is None or loss < lowest:
                improvements.append(number)
                lowest = loss
        if improvements:
            improved.insert(place, iteration.number)
        expected = {**totals, "last_complete": last_complete, "improvements": improvements or None}
        for column, value in expected.items():
            if getattr(iteration, column) != value:
                yield (
                    f"iteration {iteration.number}: `{column}` is {getattr(iteration, column)}, but the value"
                    f" computed from the trials is {value}"
                )


def _study(ledger: StudySnapshot, study: StudySpec) -> Iterator[str]:
    row = ledger.study
    # If an older version of the program recorded the study, the recorded hash does not include newer settings. Then
    # `_study` does not compare the hashes.
    if study.spec() == row.spec and study.spec_hash != row.spec_hash:
        yield f"`spec_hash` is {row.spec_hash[:8]}, but the hash of the settings is {study.spec_hash[:8]}"
    if row.has_ended != (row.finished_at is not None):
        yield f"the state is {row.state}, but `finished_at` is {row.finished_at}"
    # A criterion can end a study that has pending trials. In batch mode, the timeout is the only criterion that can end
    # a study during an iteration.
    is_stopped = row.stopped_by is not None and (study.mode == "steady" or row.stopped_by == "timeout")
    if row.has_ended and not is_stopped:
        for trial in ledger.trials:
            if trial.state in OPEN_STATES:
                yield f"the state is {row.state}, but trial {trial.number} is {trial.state}"
    for iteration in ledger.iterations:
        if row.state == "complete" and iteration.told_at is None and not is_stopped:
            yield (
                f"the state is complete, but the optimizer has not received the results of iteration {iteration.number}"
            )


def _code(ledger: StudySnapshot) -> Iterator[str]:
    """Yield the contradictions in the records of the objective's code versions."""
    lowest = 0
    for expected, version in enumerate(ledger.code_versions):
        place = f"code version {expected}"
        if version.number != expected:
            yield f"{place} is missing, and the next code version is {version.number}"
            return
        if not lowest <= version.first_trial <= len(ledger.trials):
            yield (
                f"{place} is valid from trial {version.first_trial}, but this trial number must be at least {lowest}"
                f" (the first trial of the previous version) and at most {len(ledger.trials)} (the number of trials)"
            )
        lowest = version.first_trial
        if version.sha256 != digest_parts(version.parts):
            yield f"{place} has the recorded hash {version.sha256[:8]}, but the parts of the version have another hash"
    for sha256, text in ledger.sources.items():
        if sha256 != hashlib.sha256(text.encode()).hexdigest():
            yield f"the hash of a source text differs from the recorded hash {show(sha256)}"
        if not any(sha256 in version.sources.values() for version in ledger.code_versions):
            yield f"the source text {show(sha256[:8])} belongs to no code version"


def _ends(ledger: StudySnapshot, study: StudySpec, trials: Sequence[Sequence[TrialRow]]) -> Iterator[str]:
    """For a study in batch mode, yield the contradictions between the study's state and the study's iterations."""
    row = ledger.study
    rounds = {iteration.number: iteration.round for iteration in ledger.iterations}
    # The budget includes only the trials of the last round of each iteration.
    counted = [
        trial for trial in ledger.trials if trial.source == "proposed" and trial.round == rounds[trial.iteration]
    ]
    if len(counted) > row.budget:
        yield f"the budget is {row.budget} trials, but {len(counted)} trials were proposed"
    size, tried = study.space.size(), sum(trial.retry_of is None for trial in ledger.trials)
    is_used_up = size is not None and tried >= size
    if row.state == "complete" and len(counted) < row.budget and not is_used_up and row.stopped_by is None:
        yield f"the state is complete, but only {len(counted)} of {row.budget} trials were proposed"
    untold = [iteration for iteration in ledger.iterations if iteration.told_at is None]
    if row.state == "failed":
        if not untold:
            yield "the state is failed, but the optimizer has received the results of every iteration"
        for iteration in untold:
            for trial in trials[iteration.number]:
                if trial.is_proof:
                    yield f"the state is failed, but trial {trial.number} of the last iteration is {trial.state}"


def _stop(ledger: StudySnapshot, study: StudySpec) -> Iterator[str]:
    """Yield the contradictions between the criterion that stopped a study and the study's records."""
    row, scale = ledger.study, study.objective.scale
    if (row.stopped_by is None) != (row.stopping_at is None):
        yield f"`stopped_by` is {row.stopped_by}, but `stopping_at` is {row.stopping_at}"
    if row.stopped_by is None:
        return
    if row.has_ended and row.state != "complete":
        yield f"the state is {row.state}, but the criterion {row.stopped_by} stopped the study"
    criteria = {"target": row.target, "patience": row.patience, "timeout": row.timeout_seconds}
    limit = criteria.get(row.stopped_by)
    if limit is None:
        yield f"the criterion {row.stopped_by} stopped the study, but the study has no {row.stopped_by}"
        return
    complete = [trial for trial in ledger.trials if trial.loss is not None]
    best = min(complete, key=lambda trial: (trial.loss, trial.number), default=None)
    if row.stopped_by == "target" and (best is None or scale.loss(best.result) > scale.loss(limit)):
        yield f"the study was stopped by its target {limit}, but no trial has reached this value"
    # In steady mode, a trial can still end after the patience criterion has stopped the study. The late trial can
    # improve the best value. An imported trial can also have a better value than the trials of the study's workers.
    if row.stopped_by == "patience" and study.mode == "batch" and (best is None or best.source != "imported"):
        after = [
            trial
            for trial in ledger.trials
            if best is not None and trial.iteration > best.iteration and trial.source != "imported"
        ]
        ended = sum(trial.state in ("complete", "pruned", "failed") for trial in after)
        if ended < limit:
            yield f"the patience is {limit} trials, but only {ended} trials ended after the best trial"


def _seen(ledger: StudySnapshot) -> Iterator[str]:
    """Yield the contradictions in the records of a study in steady mode.

    For each iteration, the manager records the numbers of the trials that have ended or paused since the previous
    iteration. The function compares these numbers, the budget and the study's state with the study's trials.
    """
    row = ledger.study
    seen: dict[int, set[int | None]] = {}
    for iteration in ledger.iterations:
        numbers = iteration.seen or []
        rungs: Sequence[int | None] = iteration.seen_rungs or [None] * len(numbers)
        if len(rungs) != len(numbers):
            yield f"iteration {iteration.number} has {len(numbers)} trials in `seen`, but {len(rungs)} in `seen_rungs`"
            return
        for number, rung in zip(numbers, rungs, strict=True):
            what, at_rung = ("end", "") if rung is None else ("pause", f" at rung {rung}")
            place = f"iteration {iteration.number} records the {what} of trial {number}{at_rung}"
            trial = ledger.trials[number] if 0 <= number < len(ledger.trials) else None
            if trial is None:
                yield f"{place}, but the trial does not exist"
                return
            known = seen.setdefault(number, set())
            if rung in known:
                yield f"{place}, but an earlier entry of `seen` also records this {what}"
            if rung is not None and None in known:
                yield f"{place}, but an earlier entry of `seen` records the end of this trial"
            if trial.iteration >= iteration.number:
                yield f"{place}, but the trial does not belong to an earlier iteration"
            # The verification does not check the order of the trials' end times, because an administrator may have set
            # back the database's clock.
            if rung is None and trial.finished_at is None:
                yield f"{place}, but the trial has not ended"
            known.add(rung)
    proof = next((trial for trial in ledger.trials if trial.is_proof), None)
    if row.state == "failed" and proof is not None:
        yield f"the state is failed, but trial {proof.number} is {proof.state}"
    # The budget does not include failed trials, because the manager may replace a failed trial.
    spent = sum(trial.source == "proposed" and trial.state != "failed" for trial in ledger.trials)
    if spent > row.budget:
        yield f"the budget is {row.budget} trials, but the study has {spent} proposed trials that did not fail"
