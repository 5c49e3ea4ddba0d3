"""The learning curves in the report of a study. A learning curve contains the values that the objective reported during
one trial.

The size of the learning curves in the report has a limit. The limit of the size does not depend on the number of trials
or reported values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection, text

from ledger.database.rows import TrialRow
from ledger.database.selecting import query

# A report has at most `CURVES` learning curves. Up to `BEST` curves show the trials with the best values. A curve has
# at most `POINTS` points.
CURVES, BEST, POINTS = 20, 5, 200

# With the primary key of the table `ledger.report`, PostgreSQL quickly finds out whether a trial has reported a value.
_REPORTED = text(
    "select trial from unnest(cast(:trials as int[])) as asked (trial)"
    " where exists (select from ledger.reports where reports.study_id = :study and reports.trial = asked.trial)"
)


@dataclass(frozen=True)
class LearningCurve:
    """The intermediate values that one trial reported during its training, or an evenly spaced selection of these
    values.

    Attributes
    ----------
    trial : TrialRow
    is_best : bool
        True if the trial is one of the best trials that have reported values. `is_best` is True for at most `BEST`
        trials.
    steps : sequence of int
    values : sequence of float or None
        The value at each step; None for a value that was NaN or an infinity.
    reports : int
        Number of reports in the curve. The curve contains no report that a later attempt has replaced.
    """

    trial: TrialRow
    is_best: bool
    steps: Sequence[int]
    values: Sequence[float | None]
    reports: int


def read(connection: Connection, study_id: int, shown: Sequence[TrialRow]) -> list[LearningCurve]:
    """Return the learning curves of at most `CURVES` of the given trials.

    The function chooses the trials with the best values, and an evenly spaced selection of the other trials. The curves
    have the same order as the given trials.
    """
    asked = {"study": study_id, "trials": [trial.number for trial in shown]}
    with connection.begin():
        reported = set(connection.scalars(_REPORTED, asked))
    if not reported:
        return []
    trials = [trial for trial in shown if trial.number in reported]
    complete = [(trial.loss, trial.number) for trial in trials if trial.loss is not None]
    best = {number for _, number in sorted(complete)[:BEST]}
    others = [trial.number for trial in trials if trial.number not in best]
    wanted = CURVES - len(best)
    chosen = best | {others[index * len(others) // wanted] for index in range(min(wanted, len(others)))}
    known = {trial.number: trial for trial in trials}
    with connection.begin():
        points = connection.execute(
            query("curve_points"), {"study": study_id, "trials": sorted(chosen), "points": POINTS}
        ).all()
    curves = []
    for number, rows in groupby(points, key=lambda row: row.trial):
        of_trial = list(rows)
        steps, values = [row.step for row in of_trial], [row.value for row in of_trial]
        curves.append(LearningCurve(known[number], number in best, steps, values, of_trial[0].reports))
    return curves
