"""Functions that read the reports of trials."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, text, tuple_

from ledger.database import views
from ledger.database.rows import ReportRow
from ledger.database.selecting import fetch, rows_of

# Maximum number of reports in one page, and maximum number of points in one page.
PAGE, POINTS_PAGE = 5_000, 20_000

_reports = views.reports
_OF_ATTEMPTS = text(
    "select attempt, count(*), max(step), (array_agg(value order by step desc))[1] from ledger.reports"
    " where study_id = :study and trial = :trial group by attempt"
)
_POINTS = text(
    "select trial, attempt, step, after_step, coalesce(loss, 'infinity'), extract(epoch from reported_at)::float8"
    " from ledger.reports where study_id = :study and (trial, attempt, step) > (:trial, :attempt, :step)"
    " order by trial, attempt, step limit :size"
)
_ORDER = (_reports.c.trial, _reports.c.attempt, _reports.c.step)


@dataclass(frozen=True)
class AttemptReports:
    """A summary of the values that one attempt reported: the number of reports, and the step and the value of the last
    report.
    """

    count: int
    step: int
    value: float | None


def pages(
    connection: Connection, study_id: int, *, trial: int | None = None, attempt: int | None = None
) -> Iterator[list[ReportRow]]:
    """Yield the reports of a study in pages, in the order of the trials, the attempts and the steps.

    The function reads each page in a separate transaction.

    Parameters
    ----------
    trial : int, optional
        Number of a trial. If `trial` is given, the function reads only the reports of the trial.
    attempt : int, optional
        Number of an attempt within its trial. If `attempt` is given, the function reads only the reports of attempts
        with the number `attempt`.
    """
    chosen = rows_of(ReportRow).where(_reports.c.study_id == study_id)
    if trial is not None:
        chosen = chosen.where(_reports.c.trial == trial)
    if attempt is not None:
        chosen = chosen.where(_reports.c.attempt == attempt)
    yield from _pages(connection, chosen)


def point_pages(connection: Connection, study_id: int) -> Iterator[Sequence[Any]]:
    """Yield the points of the learning curves of a study in pages, in the order of the trials, the attempts and the
    steps.

    A point contains the numbers of the trial and of the attempt, the step, `after_step` (`ReportRow`), the loss, and
    the Unix time of the report in seconds. The loss is infinity if the reported value was NaN or an infinity. The
    function reads each page in a separate transaction. The function is faster than `pages`, which yields whole rows.
    """
    last = (-1, -1, -1)
    while True:
        place = dict(zip(("trial", "attempt", "step"), last, strict=True))
        with connection.begin():
            page = connection.execute(_POINTS, {"study": study_id, **place, "size": POINTS_PAGE}).all()
        if page:
            yield page
        if len(page) < POINTS_PAGE:
            return
        last = tuple(page[-1][:3])


def of_trials(connection: Connection, study_id: int, first: int, last: int) -> dict[int, list[ReportRow]]:
    """Return the learning curves of the trials with the numbers `first` to `last`. If an attempt has continued from a
    checkpoint, the curve also contains the reports that earlier attempts made before this checkpoint.
    """
    chosen = rows_of(ReportRow).where(
        _reports.c.study_id == study_id, _reports.c.trial.between(first, last), ~_reports.c.is_replaced
    )
    reports: dict[int, list[ReportRow]] = {}
    for page in _pages(connection, chosen):
        for row in page:
            reports.setdefault(row.trial, []).append(row)
    return reports


def of_attempts(connection: Connection, study_id: int, trial: int) -> dict[int, AttemptReports]:
    """For each attempt that has reports, return the number of reports and the last report."""
    with connection.begin():
        rows = connection.execute(_OF_ATTEMPTS, {"study": study_id, "trial": trial}).all()
    return {attempt: AttemptReports(*facts) for attempt, *facts in rows}


def _pages(connection: Connection, chosen: Select[tuple[object, ...]]) -> Iterator[list[ReportRow]]:
    page_of = chosen.order_by(*_ORDER).limit(PAGE)
    after = None
    while True:
        with connection.begin():
            page = fetch(connection, ReportRow, page_of if after is None else page_of.where(tuple_(*_ORDER) > after))
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = tuple_(page[-1].trial, page[-1].attempt, page[-1].step)
