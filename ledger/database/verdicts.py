"""Functions that read the cutoffs, the verdicts and the promotions of early stopping."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from ledger.database import views
from ledger.database.rows import CutoffRow, PromotionRow, StudyRow, VerdictRow
from ledger.database.selecting import fetch, query, rows_of

# The finite losses of trials at rungs. The first key is the number of a trial, and the second key is a rung that the
# trial has reached.
RungLosses = dict[int, dict[int, float]]

_cutoffs, _verdicts, _promotions = views.cutoffs, views.verdicts, views.promotions
# Maximum number of trials in one statement.
_PAGE = 1_000
_REACHED = text(
    "select trial, coalesce(min(step) filter (where after_step is null), max(step)), max(step) from ledger.reports"
    " where study_id = :study group by trial, attempt order by trial, attempt"
)
_DECIDED = text(
    "select trial, bool_or(stops and promoted_at is null) as stops, bool_or(audited) as audited from ledger.verdicts"
    " where study_id = :study group by trial having bool_or(stops and promoted_at is null) or bool_or(audited)"
)
_RUNGS = text(
    "select rung, count(*) as trials, count(*) filter (where stops and promoted_at is null) as stopped,"
    " count(*) filter (where audited) as audited, count(*) filter (where stops and audited) as continued"
    " from ledger.verdicts where study_id = :study group by rung order by rung"
)


@dataclass(frozen=True, slots=True)
class RungCount:
    """The counts of the verdicts at one rung. `trials` counts the trials that have reached the rung. `stopped` counts
    the trials with a verdict to stop, without the trials that the manager has promoted at the rung. `audited` counts
    the audited trials. An audited trial continues despite a verdict to stop. `continued` counts the audited trials with
    a verdict to stop.
    """

    rung: int
    trials: int
    stopped: int
    audited: int
    continued: int


@dataclass(frozen=True, slots=True)
class RungReport:
    """The report from which a rung takes the loss of a trial. It is the last report at or below the rung, without the
    reports that came after the trial had first reached the rung, in any attempt.
    """

    attempt: int
    step: int
    loss: float | None
    reported_at: datetime


@dataclass(frozen=True)
class RecordedStopping:
    """Everything that the ledger has recorded about the early stopping of a study.

    `cutoffs` is ordered by iteration and rung. `verdicts` and `promotions` are ordered by trial and rung. Each key of
    `reports` is a pair that contains the trial and the rung of a verdict. Each value of `reports` is the report from
    which the rung takes the loss. `reached` maps a trial to the first reported step and the highest step of each
    attempt with reports, in the order of the attempts.
    """

    cutoffs: Sequence[CutoffRow] = ()
    verdicts: Sequence[VerdictRow] = ()
    promotions: Sequence[PromotionRow] = ()
    reports: Mapping[tuple[int, int], RungReport] = field(default_factory=dict)
    reached: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)

    @property
    def rung_losses(self) -> RungLosses:
        """The finite losses of the trials at their rungs."""
        return _by_trial((verdict.trial, verdict.rung, verdict.loss) for verdict in self.verdicts)


def rung_losses(connection: Connection, study: StudyRow, numbers: Collection[int]) -> RungLosses:
    """Return the finite losses of some trials at their rungs.

    If the study has no early stopping, the result is empty.
    """
    found: RungLosses = {}
    if "stopping" not in study.spec:
        return found
    of_study = select(_verdicts.c.trial, _verdicts.c.rung, _verdicts.c.loss).where(_verdicts.c.study_id == study.id)
    ordered = sorted(numbers)
    for first in range(0, len(ordered), _PAGE):
        with connection.begin():
            rows = connection.execute(of_study.where(_verdicts.c.trial.in_(ordered[first : first + _PAGE]))).all()
        found |= _by_trial(rows)
    return found


def _by_trial(rows: Iterable[Any]) -> RungLosses:
    found: RungLosses = {}
    for trial, rung, loss in rows:
        if loss is not None:
            found.setdefault(trial, {})[rung] = loss
    return found


def read(connection: Connection, study_id: int) -> RecordedStopping:
    """Read the cutoffs, the verdicts and the promotions of a study, the report that belongs to each verdict, and the
    reported steps. The caller has begun a transaction.
    """
    # In a running study, a verdict can be newer than the reported steps, but each reported rung has its verdict.
    reached: dict[int, list[tuple[int, int]]] = {}
    for trial, first, highest in connection.execute(_REACHED, {"study": study_id}):
        reached.setdefault(trial, []).append((first, highest))
    return RecordedStopping(
        _read_cutoffs(connection, study_id),
        _read_verdicts(connection, study_id),
        _read_promotions(connection, study_id),
        {
            (trial, rung): RungReport(*report)
            for trial, rung, *report in connection.execute(query("rung_reports"), {"study": study_id})
        },
        reached,
    )


def all_of(connection: Connection, study_id: int) -> tuple[list[CutoffRow], list[VerdictRow], list[PromotionRow]]:
    """Return the cutoffs, the verdicts and the promotions of a study. The cutoffs are ordered by iteration and rung.
    The verdicts and the promotions are ordered by trial and rung.
    """
    with connection.begin():
        return (
            _read_cutoffs(connection, study_id),
            _read_verdicts(connection, study_id),
            _read_promotions(connection, study_id),
        )


def of_trial(connection: Connection, study_id: int, trial: int) -> list[VerdictRow]:
    """Return the verdicts on a trial, ordered by rung."""
    chosen = rows_of(VerdictRow).where(_verdicts.c.study_id == study_id, _verdicts.c.trial == trial)
    with connection.begin():
        return fetch(connection, VerdictRow, chosen.order_by(_verdicts.c.rung))


def audited_and_stopped(connection: Connection, study_id: int) -> tuple[set[int], set[int]]:
    """Return two sets of trial numbers. The first set contains the audited trials that have a verdict. The second set
    contains the trials that have a verdict to stop at a rung, and that the manager has not promoted at this rung.

    An audited trial with such a verdict belongs to both sets.
    """
    with connection.begin():
        rows = connection.execute(_DECIDED, {"study": study_id}).all()
    return {row.trial for row in rows if row.audited}, {row.trial for row in rows if row.stops}


def rung_counts(connection: Connection, study: StudyRow) -> tuple[RungCount, ...]:
    """Return the counts of the verdicts at each rung. If the study has no early stopping, the result is empty."""
    if "stopping" not in study.spec:
        return ()
    with connection.begin():
        return tuple(RungCount(*row) for row in connection.execute(_RUNGS, {"study": study.id}))


def _read_cutoffs(connection: Connection, study_id: int) -> list[CutoffRow]:
    chosen = rows_of(CutoffRow).where(_cutoffs.c.study_id == study_id)
    return fetch(connection, CutoffRow, chosen.order_by(_cutoffs.c.iteration, _cutoffs.c.rung, _cutoffs.c.group_number))


def _read_verdicts(connection: Connection, study_id: int) -> list[VerdictRow]:
    chosen = rows_of(VerdictRow).where(_verdicts.c.study_id == study_id)
    return fetch(connection, VerdictRow, chosen.order_by(_verdicts.c.trial, _verdicts.c.rung))


def _read_promotions(connection: Connection, study_id: int) -> list[PromotionRow]:
    chosen = rows_of(PromotionRow).where(_promotions.c.study_id == study_id)
    return fetch(connection, PromotionRow, chosen.order_by(_promotions.c.trial, _promotions.c.rung))
