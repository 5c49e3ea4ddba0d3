"""Functions that read the cutoffs and the verdicts of early stopping."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, text

from ledger.database import views
from ledger.database.rows import CutoffRow, VerdictRow
from ledger.database.selecting import fetch, rows_of

_cutoffs, _verdicts = views.cutoffs, views.verdicts
_REPORTED = text(
    "select verdict.trial, verdict.rung, last.step, last.loss, last.reported_at from ledger.verdicts as verdict"
    " cross join lateral (select report.step, report.loss, report.reported_at from ledger.reports as report"
    " where report.study_id = verdict.study_id and report.trial = verdict.trial and report.attempt = verdict.attempt"
    " and report.step <= verdict.rung order by report.step desc limit 1) as last where verdict.study_id = :study"
)


@dataclass(frozen=True, slots=True)
class RungReport:
    """The last report at or below a rung, of the attempt that has reached the rung."""

    step: int
    loss: float | None
    reported_at: datetime


@dataclass(frozen=True)
class RecordedStopping:
    """Everything that the ledger has recorded about the early stopping of a study.

    `cutoffs` is ordered by iteration and rung, and `verdicts` by trial and rung. `reports` maps the trial and the rung
    of a verdict to the last report at or below the rung.
    """

    cutoffs: Sequence[CutoffRow] = ()
    verdicts: Sequence[VerdictRow] = ()
    reports: Mapping[tuple[int, int], RungReport] = field(default_factory=dict)


def read(connection: Connection, study_id: int) -> RecordedStopping:
    """Read the cutoffs and the verdicts of a study, with the reports to which the verdicts belong. The caller has begun
    a transaction.
    """
    return RecordedStopping(
        _read_cutoffs(connection, study_id),
        _read_verdicts(connection, study_id),
        {
            (trial, rung): RungReport(*report)
            for trial, rung, *report in connection.execute(_REPORTED, {"study": study_id})
        },
    )


def all_of(connection: Connection, study_id: int) -> tuple[list[CutoffRow], list[VerdictRow]]:
    """Return the cutoffs of a study, ordered by iteration and rung, and the verdicts, ordered by trial and rung."""
    with connection.begin():
        return _read_cutoffs(connection, study_id), _read_verdicts(connection, study_id)


def of_trial(connection: Connection, study_id: int, trial: int) -> list[VerdictRow]:
    """Return the verdicts on a trial, ordered by rung."""
    chosen = rows_of(VerdictRow).where(_verdicts.c.study_id == study_id, _verdicts.c.trial == trial)
    with connection.begin():
        return fetch(connection, VerdictRow, chosen.order_by(_verdicts.c.rung))


def _read_cutoffs(connection: Connection, study_id: int) -> list[CutoffRow]:
    chosen = rows_of(CutoffRow).where(_cutoffs.c.study_id == study_id)
    return fetch(connection, CutoffRow, chosen.order_by(_cutoffs.c.iteration, _cutoffs.c.rung))


def _read_verdicts(connection: Connection, study_id: int) -> list[VerdictRow]:
    chosen = rows_of(VerdictRow).where(_verdicts.c.study_id == study_id)
    return fetch(connection, VerdictRow, chosen.order_by(_verdicts.c.trial, _verdicts.c.rung))
