"""The overview of a study in memory, as `ledger.database.overview` reads it from a database."""

from collections import Counter
from dataclasses import replace
from itertools import groupby

from ledger.database import overview as limits
from ledger.database.overview import (
    AttemptGroup,
    AttemptTimeline,
    IterationMean,
    ProposalEnvironment,
    StudyOverview,
    timeline_of_attempts,
)
from ledger.database.rows import COUNTED_STATES, ProgressRow, TrialRow
from ledger.database.status import Improvement
from ledger.database.transfer import StudySnapshot
from ledger.study.spec import StudySpec


def overview(ledger: StudySnapshot) -> StudyOverview:
    complete = _complete(ledger)
    ended = [trial for trial in ledger.trials if not trial.is_open]
    improvements: list[Improvement] = []
    for trial in ledger.trials:
        if trial.loss is not None and (not improvements or trial.loss < improvements[-1].loss):
            improvements.append(Improvement(trial.number, trial.result, trial.loss))
    means = [
        IterationMean(iteration.number, iteration.first_trial + (iteration.size - 1) / 2, iteration.mean_value)
        for iteration in ledger.iterations
        if iteration.mean_value is not None and iteration.number % (1 + len(ledger.iterations) // limits.SHOWN) == 0
    ]
    environments = []
    used = [iteration for iteration in ledger.iterations if iteration.environment]
    for environment, found in groupby(used, key=lambda iteration: iteration.environment):
        numbers = [iteration.number for iteration in found]
        environments.append(ProposalEnvironment(numbers[0], numbers[-1], environment))
    surrogates = [iteration.surrogate for iteration in ledger.iterations if iteration.surrogate is not None]
    return StudyOverview(
        at=ledger.at,
        curves=[],
        study=ledger.study,
        progress=_progress(ledger),
        trials=len(ledger.trials),
        best=complete[0] if complete else None,
        highest_loss=complete[-1].loss if complete else None,
        worst_value=complete[-1].value if complete else None,
        improvements=improvements,
        last_complete=max((trial.number for trial in complete), default=None),
        shown=_shown(ledger, complete),
        observed=_observed(ledger, complete, ended),
        ended=len(ended),
        means=means,
        batch_sizes=list(dict.fromkeys(each.batch_size for each in ledger.iterations if each.batch_size is not None)),
        next_iteration=len(ledger.iterations),
        surrogate=surrogates[-1] if surrogates else None,
        environments=environments,
        code_versions=ledger.code_versions,
        timeline=_timeline(ledger),
    )


def _complete(ledger: StudySnapshot) -> list[TrialRow]:
    """Return the complete trials, the trial with the lowest loss first."""
    losses = {trial.number: trial.loss for trial in ledger.trials if trial.loss is not None}
    return [ledger.trials[number] for number in sorted(losses, key=lambda number: (losses[number], number))]


def _progress(ledger: StudySnapshot) -> ProgressRow:
    states = Counter(trial.state for trial in ledger.trials)
    best = next(iter(_complete(ledger)), None)
    study = StudySpec.from_spec(ledger.study.name, ledger.study.budget, ledger.study.spec)
    rounds = {iteration.number: iteration.round for iteration in ledger.iterations}
    proposed = [
        trial for trial in ledger.trials if trial.source == "proposed" and trial.round == rounds[trial.iteration]
    ]
    return ProgressRow(
        study=ledger.study.name,
        state=ledger.study.state,
        reason=ledger.study.reason,
        budget=ledger.study.budget,
        target=ledger.study.target,
        patience=ledger.study.patience,
        timeout_seconds=ledger.study.timeout_seconds,
        stopped_by=ledger.study.stopped_by,
        proposed=len(proposed),
        ended=sum(not trial.is_open for trial in proposed),
        iterations_told=sum(iteration.told_at is not None for iteration in ledger.iterations),
        **{state: states[state] for state in COUNTED_STATES},
        attempts=sum(trial.attempts for trial in ledger.trials),
        direction=study.objective.scale.direction,
        best_value=None if best is None else best.value,
        best_loss=None if best is None else best.loss,
        metric=None,
        best_score=None,
        created_at=ledger.study.created_at,
        elapsed=ledger.at - ledger.study.created_at,
        archived_at=None,
        tags=[],
    )


def _shown(ledger: StudySnapshot, complete: list[TrialRow]) -> list[TrialRow]:
    if len(ledger.trials) <= limits.SHOWN:
        return list(ledger.trials)
    best = {trial.number for trial in complete[: limits.SHOWN // 2]}
    others = [trial.number for trial in ledger.trials if trial.number not in best]
    wanted = limits.SHOWN - len(best)
    kept = {others[index * len(others) // wanted] for index in range(wanted)}
    return [trial for trial in ledger.trials if trial.number in best | kept]


def _observed(ledger: StudySnapshot, complete: list[TrialRow], ended: list[TrialRow]) -> list[TrialRow]:
    if len(ended) <= limits.OBSERVED:
        return ended
    quarter = limits.OBSERVED // 4
    chosen = {trial.number for trial in (*ended[-quarter:], *complete[:quarter])}
    others = [trial.number for trial in ledger.trials if trial.number not in chosen]
    wanted = limits.OBSERVED - len(chosen)
    chosen |= {others[index * len(others) // wanted] for index in range(wanted)}
    return [trial for trial in ended if trial.number in chosen]


def _timeline(ledger: StudySnapshot) -> AttemptTimeline:
    if len(ledger.attempts) <= limits.BARS:
        return timeline_of_attempts(ledger.attempts, ledger.at)
    single = timeline_of_attempts(ledger.attempts, ledger.at)
    workers = Counter(attempt.worker for attempt in ledger.attempts)
    slots = min(limits.SLOTS, limits.BARS // min(len(workers), limits.WORKERS))
    start = min(attempt.claimed_at for attempt in ledger.attempts)
    seconds = (max(attempt.ended_at or ledger.at for attempt in ledger.attempts) - start).total_seconds()
    groups: dict[tuple[str, str, int], AttemptGroup] = {}
    for group in single.groups:
        slot = min(int((group.began_at - start).total_seconds() / seconds * slots), slots - 1)
        key = (group.worker, group.outcome, slot)
        own = replace(group, slot=slot, number=None, error=None)
        groups[key] = groups[key].with_more(own) if key in groups else own
    return AttemptTimeline(single.outcomes, single.workers, slots, [groups[key] for key in sorted(groups)])
