"""The reports with which a trial reaches a rung, and from which the rung takes the loss of the trial.

The SQL function ledger.last_report follows the same rules. The module reads nothing from the database.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ReportedSteps:
    """The steps that one attempt has reported. An attempt has at least one report.

    Attributes
    ----------
    steps : sequence of int
        The steps, in ascending order.
    after_steps : sequence of int or None
        For each step, the highest step that the attempt had reported before this lower step, or None if the step was
        higher than all steps before.
    """

    steps: Sequence[int]
    after_steps: Sequence[int | None]

    @property
    def first(self) -> int:
        """The step of the first report."""
        in_order = zip(self.steps, self.after_steps, strict=True)
        return next((step for step, after_step in in_order if after_step is None), self.steps[-1])

    def _reaching(self, rung: int) -> int | None:
        """Return the place of the first report at or above a rung, or None if the attempt has not reached the rung."""
        at_or_above = range(bisect_left(self.steps, rung), len(self.steps))
        return next((place for place in at_or_above if self.after_steps[place] is None), None)

    def _last_before(self, rung: int) -> int | None:
        """Return the place of the highest step at or below a rung that came before the attempt had reached the rung, or
        None if there is no such step.
        """
        for place in reversed(range(bisect_right(self.steps, rung))):
            after_step = self.after_steps[place]
            if after_step is None or after_step < rung:
                return place
        return None


@dataclass(frozen=True, slots=True)
class RungPlaces:
    """Two reports of a trial. Each report is a pair that contains the place of the attempt in the sequence of attempts,
    and the place of the report in the attempt.

    With the report `reaching`, the trial first reached the rung. From the report `loss`, the rung takes the loss.
    """

    loss: tuple[int, int]
    reaching: tuple[int, int]


def rung_places(attempts: Sequence[ReportedSteps], rung: int) -> RungPlaces | None:
    """Find the reports of a trial that belong to a rung.

    A trial reaches a rung with its first report at or above the rung, in any attempt. The function ignores all reports
    that came after this report. From the other reports, the function chooses the last attempt with a report at or below
    the rung, and the highest step of this attempt at or below the rung.

    Parameters
    ----------
    attempts : sequence of ReportedSteps
        The attempts of the trial with reports, in the order of their numbers.
    rung : int

    Returns
    -------
    RungPlaces or None
        None if the trial has not reached the rung, or has skipped it. A trial skips a rung if no report is left.

    Examples
    --------
    The first attempt reported the step 1. The second attempt reported the steps 6 and 3.

    >>> attempts = [ReportedSteps([1], [None]), ReportedSteps([3, 6], [6, None])]
    >>> rung_places(attempts, rung=4)
    RungPlaces(loss=(0, 0), reaching=(1, 1))
    """
    loss = None
    for number, attempt in enumerate(attempts):
        before, reaching = attempt._last_before(rung), attempt._reaching(rung)
        loss = loss if before is None else (number, before)
        if reaching is not None:
            return None if loss is None else RungPlaces(loss, (number, reaching))
    return None
