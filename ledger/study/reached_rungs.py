"""Places in the reports of one attempt: the report that reaches a rung, and the report from which the rung takes the
loss.

The functions need the reports in ascending order of their steps. `after_steps` contains, for each report, the highest
step that the attempt had reported before this lower step. `after_steps` contains None for each report that was higher
than all reports before. The SQL function ledger.last_report follows the same rules. The module reads nothing from the
database.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def reaching(steps: Sequence[int], after_steps: Sequence[int | None], rung: int) -> int | None:
    """Return the place of the first report at or above a rung, or None if the attempt has not reached the rung.

    Examples
    --------
    The attempt reported the steps 1, 6 and 5.

    >>> reaching([1, 5, 6], [None, 6, None], rung=4)
    2
    """
    at_or_above = range(bisect_left(steps, rung), len(steps))
    return next((place for place in at_or_above if after_steps[place] is None), None)


def last_before(steps: Sequence[int], after_steps: Sequence[int | None], rung: int) -> int | None:
    """Return the place of the report from which a rung takes the loss, or None if no report is left.

    The report has the highest step at or below the rung. The function ignores the reports that came after the attempt
    had reached the rung.

    Examples
    --------
    The attempt reported the steps 1, 6 and 3.

    >>> last_before([1, 3, 6], [None, 6, None], rung=4)
    0
    """
    for place in reversed(range(bisect_right(steps, rung))):
        after_step = after_steps[place]
        if after_step is None or after_step < rung:
            return place
    return None
