"""Overviews of studies for reports. An overview contains counts, and limited selections of the trials, iterations and
attempts.

The size of an overview does not grow with the number of trials. The functions read the study in short transactions.
A trial that ended before the time of the overview never changes. For a trial that was open at the time of the overview,
the overview can contain a later state.
"""

from bisect import bisect
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, text

from ledger.database import annotations, codes, curves, savings, studies, trials, verdicts, views
from ledger.database.curves import LearningCurve
from ledger.database.rows import AnnotationRow, AttemptRow, CodeVersionRow, ProgressRow, StudyRow, TrialRow
from ledger.database.savings import SavedSteps
from ledger.database.selecting import begin_snapshot, fetch, fetch_one, last_number, query, rows_of
from ledger.database.status import Improvement
from ledger.database.verdicts import RungCount, RungLosses
from ledger.errors import LedgerError

# Largest number of trials that the plots and the table of a report show. A browser on a phone is fast enough to draw a
# plot of `SHOWN` trials. If a study has more than `SHOWN` trials, the overview contains a selection of `SHOWN` trials.
# Up to half of the selected trials are the trials with the best values.
SHOWN = 2_000
# Largest number of trials that a report uses to fit the surrogate.
OBSERVED = 10_000
# If a study has at most `BARS` attempts, each attempt has its own group. If a study has more attempts, the overview
# divides the time of the study into time slots of equal length. All attempts of a group belong to the same time slot,
# and have the same worker and the same outcome. The overview contains the attempts of the `WORKERS` workers with the
# most attempts. The number of time slots is `BARS` divided by the number of workers in the overview, but at most
# `SLOTS`.
BARS, WORKERS, SLOTS = 2_000, 100, 120
# One statement returns at most `PAGE` rows, and counts at most `COUNTED` rows.
PAGE, COUNTED = 1_000, 20_000

_IMPROVEMENTS = text("select trial, value, loss from ledger.improvements where study_id = :study order by trial")

_studies, _iterations, _trials, _attempts = views.studies, views.iterations, views.trials, views.attempts


@dataclass(frozen=True)
class IterationMean:
    """The mean value of the trials of one iteration.

    The position `middle` is the mean of the numbers of the iteration's trials.
    """

    number: int
    middle: float
    mean_value: float


@dataclass(frozen=True)
class ProposalEnvironment:
    """The package versions and the BLAS libraries that a manager used to propose the iterations from `first` to `last`.

    An iteration without proposed trials has no environment.
    """

    first: int
    last: int
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class AttemptGroup:
    """Attempts of one worker in the same time slot and with the same outcome.

    Attributes
    ----------
    outcome : str
        The outcome of the attempts, or "running".
    slot : int
        Number of the time slot. The first time slot has the number 0.
    attempts : int
        Number of attempts in the group, at least 1.
    began_at, ended_at : datetime
        The time when the first attempt of the group began, and the time when the last attempt of the group ended.
    busy : timedelta
        Sum of the durations of the attempts.
    first_trial, last_trial : int
        The lowest and the highest trial number of the attempts.
    number, error : int or None, str or None
        The number of the attempt within its trial, and the error of the attempt. If the group contains several
        attempts, `number` and `error` are None.
    """

    worker: str
    outcome: str
    slot: int
    attempts: int
    began_at: datetime
    ended_at: datetime
    busy: timedelta
    first_trial: int
    last_trial: int
    number: int | None = None
    error: str | None = None

    def with_more(self, other: "AttemptGroup") -> "AttemptGroup":
        """Return one group that contains the attempts of two groups."""
        return replace(
            self,
            attempts=self.attempts + other.attempts,
            began_at=min(self.began_at, other.began_at),
            ended_at=max(self.ended_at, other.ended_at),
            busy=self.busy + other.busy,
            first_trial=min(self.first_trial, other.first_trial),
            last_trial=max(self.last_trial, other.last_trial),
            number=None,
            error=None,
        )


@dataclass(frozen=True)
class AttemptTimeline:
    """A summary of a study's attempts over time. In the summary, all attempts of a group have the same worker, time
    slot and outcome.

    Attributes
    ----------
    outcomes : mapping of str to int
        Number of attempts with each outcome. The outcome of an attempt that has not ended is "running".
    workers : int
        Number of workers that started at least one attempt.
    slots : int or None
        Number of time slots; None if each attempt has its own group.
    groups : sequence of AttemptGroup
        The attempts in groups. If the study has more than `WORKERS` workers, the sequence contains only the attempts
        of the `WORKERS` workers that started the most attempts.
    """

    outcomes: Mapping[str, int]
    workers: int
    slots: int | None
    groups: Sequence[AttemptGroup]


@dataclass(frozen=True)
class StudyOverview:
    """The data of one study in a report: counts, the best trial, and selections of the study's trials and iterations.

    Attributes
    ----------
    at : datetime
        The time of the data, by the database's clock.
    trials : int
        Number of all trials.
    best : TrialRow or None
        The complete trial with the lowest loss.
    highest_loss, worst_value : float or None
        Loss and value of the complete trial with the highest loss.
    improvements : sequence of Improvement
        The complete trials that are better than all trials with a lower number.
    last_complete : int or None
        The highest number of a complete trial.
    shown : sequence of TrialRow
        All trials in the order of their numbers, or a selection of `SHOWN` trials.
    observed : sequence of TrialRow
        All ended trials in the order of their numbers, or a selection of `OBSERVED` trials. One quarter of the
        selection consists of the trials with the best values. Another quarter of the selection consists of the trials
        with the highest numbers.
    ended : int
        Number of ended trials.
    means : sequence of IterationMean
        The mean values of the iterations whose losses the optimizer has received, or an evenly spaced selection of at
        most `SHOWN` mean values.
    batch_sizes : sequence of int
        The different batch sizes of the proposed iterations, in the order of first use. The sequence contains each
        batch size once.
    next_iteration : int
        Number of the next iteration.
    surrogate : mapping or None
        The last surrogate that the ledger recorded.
    environments : sequence of ProposalEnvironment
        The environments of the iterations, in the order of the iterations.
    code_versions : sequence of CodeVersionRow
        The versions of the objective's code, in the order of their numbers.
    annotation : AnnotationRow or None
        The tags, the note and the user attributes of the study.
    curves : sequence of LearningCurve
        The learning curves of some of the trials in `shown`.
    rung_losses : mapping
        For the trials in `observed`, the losses at the rungs of early stopping.
    rungs : sequence of RungCount
        The counts of the verdicts at each rung.
    saved : SavedSteps or None
        The steps that the pruned trials did not train. None if the study has no rule of early stopping.
    """

    at: datetime
    study: StudyRow
    progress: ProgressRow
    trials: int
    best: TrialRow | None
    highest_loss: float | None
    worst_value: float | None
    improvements: Sequence[Improvement]
    last_complete: int | None
    shown: Sequence[TrialRow]
    observed: Sequence[TrialRow]
    ended: int
    means: Sequence[IterationMean]
    batch_sizes: Sequence[int]
    next_iteration: int
    surrogate: Mapping[str, Any] | None
    environments: Sequence[ProposalEnvironment]
    code_versions: Sequence[CodeVersionRow]
    timeline: AttemptTimeline
    annotation: AnnotationRow | None = None
    curves: Sequence[LearningCurve] = ()
    rung_losses: RungLosses = field(default_factory=dict)
    rungs: Sequence[RungCount] = ()
    saved: SavedSteps | None = None


def read(connection: Connection, study: StudyRow) -> StudyOverview:
    """Read the overview of a study.

    Raises
    ------
    LedgerError
        The study was deleted.
    """
    of_study = {"study": study.id}
    complete = (_trials.c.study_id == study.id, text("state = 'complete'"))
    with connection.begin():
        begin_snapshot(connection)
        now = fetch_one(connection, StudyRow, rows_of(StudyRow).where(_studies.c.id == study.id))
        if now is None:
            raise LedgerError("the study was deleted while it was read")
        at: datetime = connection.execute(text("select ledger.clock()")).scalar_one()
        progress = fetch_one(connection, ProgressRow, rows_of(ProgressRow).where(views.progress.c.study == now.name))
        assert progress is not None
        last_complete = connection.scalar(
            text("select last_complete from ledger.counts where study_id = :study"), of_study
        )
        last_trial = last_number(connection, _trials, study.id)
        last_iteration = last_number(connection, _iterations, study.id)
        best = lowest(connection, study.id)
        worst = connection.execute(
            select(_trials.c.loss, _trials.c.value).where(*complete).order_by(_trials.c.loss.desc()).limit(1)
        ).one_or_none()
        improved = improvements(connection, study.id)
        code_versions = codes.read_versions(connection, study.id)
        saved = savings.read(connection, study.id) if "stopping" in now.spec else None
    count = 0 if last_trial is None else last_trial + 1
    iterations = 0 if last_iteration is None else last_iteration + 1
    ended = progress.complete + progress.pruned + progress.failed + progress.cancelled
    shown = range(count) if count <= SHOWN else [*best, *spread(count, best, SHOWN - len(best))]
    observed = _observed(connection, study.id, count, ended)
    rows = {row.number: row for row in _rows(connection, study.id, {*shown, *observed})}
    known = [rows[number] for number in sorted(shown) if number in rows]
    overview = StudyOverview(
        at=at,
        study=now,
        progress=progress,
        trials=count,
        best=trials.get(connection, now, best[0]) if best else None,
        highest_loss=None if worst is None else worst.loss,
        worst_value=None if worst is None else worst.value,
        improvements=improved,
        last_complete=last_complete,
        shown=known,
        observed=[rows[number] for number in sorted(observed) if number in rows and not rows[number].is_open],
        ended=ended,
        means=_means(connection, study.id, iterations),
        batch_sizes=_batch_sizes(connection, study.id, iterations),
        next_iteration=iterations,
        surrogate=_surrogate(connection, study.id, iterations),
        environments=_environments(connection, study.id, iterations),
        code_versions=code_versions,
        timeline=_timeline(connection, study.id, count, progress.attempts, at),
        annotation=annotations.of_study(connection, study.id),
        curves=curves.read(connection, study.id, known),
        rung_losses=verdicts.rung_losses(connection, now, observed),
        rungs=verdicts.rung_counts(connection, now),
        saved=saved,
    )
    if studies.find(connection, now.name) is None:
        raise LedgerError("the study was deleted while it was read")
    return overview


def lowest(connection: Connection, study_id: int) -> Sequence[int]:
    """Return the numbers of the trials with the best values, beginning with the best trial. The list has at most
    `SHOWN` // 2 numbers.
    """
    of_complete = select(_trials.c.number).where(_trials.c.study_id == study_id, text("state = 'complete'"))
    return connection.scalars(of_complete.order_by(_trials.c.loss, _trials.c.number).limit(SHOWN // 2)).all()


def improvements(connection: Connection, study_id: int) -> list[Improvement]:
    """Return the complete trials that are better than all trials with a lower number."""
    return [Improvement(*row) for row in connection.execute(_IMPROVEMENTS, {"study": study_id})]


def thinned(improved: Sequence[Improvement]) -> Sequence[Improvement]:
    """Return an evenly spaced selection of at most `SHOWN` improvements. If the selection does not contain the last
    improvement, add the last improvement."""
    kept = improved[:: 1 + len(improved) // SHOWN]
    return kept if not improved or kept[-1] == improved[-1] else [*kept, improved[-1]]


def spread(count: int, without: Collection[int], wanted: int) -> list[int]:
    """Return `wanted` evenly spaced integers in [0, `count`) that are not in `without`."""
    # A position is an index of the sorted list of all integers that are not in `without`. To convert a position into an
    # integer, the code adds the number of smaller integers in `without`.
    shifted = [number - index for index, number in enumerate(sorted(without))]
    left = count - len(shifted)
    positions = (index * left // wanted for index in range(min(wanted, left)))
    return [position + bisect(shifted, position) for position in positions]


def _observed(connection: Connection, study_id: int, count: int, ended: int) -> set[int]:
    """Return the numbers of the trials that the report uses to fit the surrogate."""
    of_ended = select(_trials.c.number).where(_trials.c.study_id == study_id, _trials.c.finished_at.is_not(None))
    quarter = OBSERVED if ended <= OBSERVED else OBSERVED // 4
    with connection.begin():
        chosen = set(connection.scalars(of_ended.order_by(_trials.c.number.desc()).limit(quarter)))
    if ended <= OBSERVED:
        return chosen
    of_complete = of_ended.where(text("state = 'complete'"))
    with connection.begin():
        chosen |= set(connection.scalars(of_complete.order_by(_trials.c.loss, _trials.c.number).limit(quarter)))
    return chosen | set(spread(count, chosen, OBSERVED - len(chosen)))


def _rows(connection: Connection, study_id: int, numbers: Collection[int]) -> Iterator[TrialRow]:
    for page in pages(sorted(numbers)):
        of_page = rows_of(TrialRow).where(_trials.c.study_id == study_id, _trials.c.number.in_(page))
        with connection.begin():
            rows = fetch(connection, TrialRow, of_page)
        yield from rows


def _means(connection: Connection, study_id: int, iterations: int) -> list[IterationMean]:
    found: list[Any] = []
    for page in pages(range(0, iterations, 1 + iterations // SHOWN)):
        with connection.begin():
            found += connection.execute(
                select(_iterations.c.number, _iterations.c.first_trial, _iterations.c.size, _iterations.c.mean_value)
                .where(
                    _iterations.c.study_id == study_id,
                    _iterations.c.number.in_(page),
                    _iterations.c.mean_loss.is_not(None),
                )
                .order_by(_iterations.c.number)
            ).all()
    return [IterationMean(number, first + (size - 1) / 2, mean) for number, first, size, mean in found]


def _batch_sizes(connection: Connection, study_id: int, iterations: int) -> list[int]:
    sizes: dict[int, None] = {}
    for first in range(0, iterations, COUNTED):
        statement = select(_iterations.c.batch_size).where(
            _iterations.c.study_id == study_id,
            _iterations.c.number.between(first, first + COUNTED - 1),
            _iterations.c.batch_size.is_not(None),
        )
        with connection.begin():
            found = connection.scalars(
                statement.group_by(_iterations.c.batch_size).order_by(func.min(_iterations.c.number))
            )
            sizes |= dict.fromkeys(found)
    return list(sizes)


def _surrogate(connection: Connection, study_id: int, iterations: int) -> Mapping[str, Any] | None:
    column = _iterations.c.surrogate
    for end in range(iterations, 0, -COUNTED):
        statement = (
            select(column)
            .where(_iterations.c.study_id == study_id, _iterations.c.number.between(end - COUNTED, end - 1))
            .where(column.is_not(None))
        )
        with connection.begin():
            found = connection.scalar(statement.order_by(_iterations.c.number.desc()).limit(1))
        if found is not None:
            return found if isinstance(found, Mapping) else None
    return None


def _environments(connection: Connection, study_id: int, iterations: int) -> list[ProposalEnvironment]:
    used: list[ProposalEnvironment] = []
    first = 0
    while first < iterations:
        parameters = {"study": study_id, "first": first, "size": COUNTED}
        with connection.begin():
            page = connection.execute(query("environments"), parameters).all()
        if not page:
            break
        last = page[-1].last
        for number, environment, _ in page:
            if number is None:
                continue
            if used and used[-1].environment == environment:
                used[-1] = replace(used[-1], last=last)
                continue
            if used:
                used[-1] = replace(used[-1], last=number - 1)
            used.append(ProposalEnvironment(number, last, environment))
        first = last + 1
    return used


def _timeline(connection: Connection, study_id: int, count: int, attempts: int, at: datetime) -> AttemptTimeline:
    if attempts <= BARS:
        rows = [row for page in trials.attempt_pages(connection, study_id) for row in page]
        return timeline_of_attempts(rows, at)
    outcomes: Counter[str] = Counter()
    workers: Counter[str] = Counter()
    began_at, ended_at = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    for row in _counted(connection, "worker_attempts", count, study=study_id, now=at):
        outcomes[row.outcome] += row.attempts
        workers[row.worker] += row.attempts
        began_at, ended_at = min(began_at, row.began_at), max(ended_at, row.ended_at)
    busiest = _busiest(workers)
    slots = max(1, min(SLOTS, BARS // max(1, len(busiest))))
    parameters = {
        "now": at,
        "began_at": began_at,
        # If the database's clock was set back, the recorded end of the last attempt can be earlier than the first
        # claim.
        "seconds": max(0.0, (ended_at - began_at).total_seconds()) or 1.0,
        "slots": slots,
        "workers": busiest,
    }
    groups: dict[tuple[str, str, int], AttemptGroup] = {}
    for row in _counted(connection, "attempt_groups", count, study=study_id, **parameters):
        group = AttemptGroup(*row)
        key = (group.worker, group.outcome, group.slot)
        groups[key] = groups[key].with_more(group) if key in groups else group
    return AttemptTimeline(outcomes, len(workers), slots, [groups[key] for key in sorted(groups)])


def timeline_of_attempts(attempts: Sequence[AttemptRow], at: datetime) -> AttemptTimeline:
    """Return a timeline in which each attempt has its own group."""
    workers = Counter(attempt.worker for attempt in attempts)
    busiest = set(_busiest(workers))
    groups = []
    for slot, attempt in enumerate(attempts):
        if attempt.worker in busiest:
            end = attempt.ended_at or at
            # If the database's clock was set back, the recorded end of the attempt can be earlier than the attempt's
            # claim.
            busy = max(timedelta(0), end - attempt.claimed_at)
            groups.append(
                AttemptGroup(
                    *(attempt.worker, attempt.outcome or "running", slot, 1, attempt.claimed_at, end, busy),
                    *(attempt.trial, attempt.trial, attempt.number, attempt.error),
                )
            )
    outcomes = Counter(attempt.outcome or "running" for attempt in attempts)
    return AttemptTimeline(outcomes, len(workers), None, groups)


def _busiest(workers: Mapping[str, int]) -> list[str]:
    """Return the names of the workers with the most attempts."""
    return sorted(workers, key=lambda worker: (-workers[worker], worker))[:WORKERS]


def _counted(connection: Connection, name: str, count: int, **parameters: object) -> Iterator[Any]:
    """Run a query from the folder sql/reads for each block of `COUNTED` trials, and yield the rows of all blocks."""
    for first in range(0, count, COUNTED):
        with connection.begin():
            rows = connection.execute(query(name), {**parameters, "first": first, "size": COUNTED}).all()
        yield from rows


def pages(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Split the numbers into lists of at most `PAGE` numbers, and yield each list."""
    for first in range(0, len(numbers), PAGE):
        yield list(numbers[first : first + PAGE])
