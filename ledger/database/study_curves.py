"""Reads the improvements of a study's best value, for comparisons of studies. The module reads two lists of
improvements: one list in the order of the trial numbers, and one list in the order of the trials' end times.

For each study, the module reads only a limited number of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from ledger.database import overview, trials, views
from ledger.database.rows import ProgressRow, StudyRow, TrialRow
from ledger.database.selecting import begin_snapshot, fetch_one, last_number, rows_of
from ledger.database.status import Improvement
from ledger.errors import LedgerError

_studies, _trials = views.studies, views.trials
_LATEST_CODE = text("select sha256 from ledger.code_versions where study_id = :study order by number desc limit 1")


@dataclass(frozen=True)
class TimedImprovement:
    """A complete trial whose value is better than the values of all trials that ended earlier.

    `seconds` is the time from the creation of the study to the end of the trial.
    """

    seconds: float
    trial: int
    value: float


@dataclass(frozen=True)
class StudyCurve:
    """The trials that improved a study's best value, as two sequences. `by_trial` is in the order of the trial numbers,
    and `by_time` is in the order of the trials' end times.

    Attributes
    ----------
    at : datetime
        The time when the function `read` was called, by the database's clock.
    study : StudyRow
    progress : ProgressRow
    code : str or None
        The SHA-256 of the objective's code in the last recorded version.
    best : TrialRow or None
        The complete trial with the lowest loss.
    by_trial : sequence of Improvement
        The complete trials that improved the best value, in the order of their numbers. If a study has many
        improvements, the sequence contains only a selection of the improvements.
    by_time : sequence of TimedImprovement
        The complete trials whose value is better than the values of all trials that ended earlier. If the study has
        more than `overview.SHOWN` trials, the function `read` looks for improvements only in a selection of the study's
        trials.
    last_trial : int
        The highest number of a complete trial. If no trial is complete, `last_trial` is 0.
    is_sampled : bool
        Whether the function `read` computed `by_time` from only a selection of the trials.
    """

    at: datetime
    study: StudyRow
    progress: ProgressRow
    code: str | None
    best: TrialRow | None
    by_trial: Sequence[Improvement]
    by_time: Sequence[TimedImprovement]
    last_trial: int
    is_sampled: bool


def read(connection: Connection, study: StudyRow) -> StudyCurve:
    """Read the improvements of a study's best value.

    Raises
    ------
    LedgerError
        The study was deleted.
    """
    of_study = {"study": study.id}
    with connection.begin():
        begin_snapshot(connection)
        now = fetch_one(connection, StudyRow, rows_of(StudyRow).where(_studies.c.id == study.id))
        if now is None:
            raise LedgerError(f"study {study.name} was deleted while it was read")
        at = connection.execute(text("select ledger.clock()")).scalar_one()
        progress = fetch_one(connection, ProgressRow, rows_of(ProgressRow).where(views.progress.c.study == now.name))
        assert progress is not None
        last = connection.scalar(text("select last_complete from ledger.counts where study_id = :study"), of_study)
        last_trial = last_number(connection, _trials, study.id)
        lowest = overview.lowest(connection, study.id)
        improvements = overview.thinned(overview.improvements(connection, study.id))
        code = connection.scalar(_LATEST_CODE, of_study)
    count = 0 if last_trial is None else last_trial + 1
    kept = {each.trial for each in improvements}
    others = overview.spread(count, lowest, overview.SHOWN - len(lowest))
    numbers = range(count) if count <= overview.SHOWN else {*lowest, *kept, *others}
    return StudyCurve(
        at=at,
        study=now,
        progress=progress,
        code=code,
        best=trials.get(connection, now, lowest[0]) if lowest else None,
        by_trial=improvements,
        by_time=_by_time(connection, now, sorted(numbers)),
        last_trial=last or 0,
        is_sampled=count > overview.SHOWN,
    )


def _by_time(connection: Connection, study: StudyRow, numbers: Sequence[int]) -> list[TimedImprovement]:
    found: list[Any] = []
    for page in overview.pages(numbers):
        statement = select(_trials.c.finished_at, _trials.c.number, _trials.c.loss, _trials.c.value).where(
            _trials.c.study_id == study.id, _trials.c.number.in_(page), text("state = 'complete'")
        )
        with connection.begin():
            found += connection.execute(statement).all()
    best: float | None = None
    improvements = []
    for finished_at, number, loss, value in sorted(found):
        if best is None or loss < best:
            best = loss
            # An imported trial can have ended before the study was created.
            seconds = max(0.0, (finished_at - study.created_at).total_seconds())
            improvements.append(TimedImprovement(seconds, number, value))
    return improvements
