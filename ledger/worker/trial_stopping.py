"""The verdicts that a worker computes on its trial, and the reports that the worker sends in one call.

The supervisor and the trainer of a worker compute the verdicts without the database.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.study.verdicts import stops


@dataclass
class _Rung:
    """A rung that a trial has not reached yet.

    Attributes
    ----------
    loss : float or None
        The loss at the last reported step at or below the rung. Until the present attempt has reported a step at or
        below the rung, `loss` is from an earlier attempt.
    last_step : int
        The step at which the present attempt reported `loss`, or -1 if `loss` is not from the present attempt.
    has_loss : bool
        Whether `loss` comes from a report. A report without a finite loss has the loss None.
    """

    step: int
    limit: float | None
    stops: bool | None
    loss: float | None
    has_loss: bool
    last_step: int = -1

    def add(self, step: int, loss: float | None) -> None:
        """Add a report of the present attempt."""
        if self.last_step < step <= self.step:
            self.last_step, self.loss, self.has_loss = step, loss, True

    def verdict(self) -> bool:
        """Return whether the rung stops the trial."""
        return stops(self.loss, self.limit) if self.stops is None else self.stops


class TrialStopping:
    """The verdicts of a worker on one trial. The worker computes the verdicts from the trial's reports, without the
    database.

    In batch mode, the worker and the database compute the same verdicts. With the rule "promotion" in batch mode, a
    rung without a verdict stops the attempt, so that the trial can pause. In steady mode, only the database knows the
    verdicts, because the verdicts depend on the arrivals of other trials. With groups, only the database knows the
    verdicts on a trial if the cutoff of its group was unknown at the claim. When the database stops a trial, the worker
    calls `stop`.

    Parameters
    ----------
    given : mapping or None
        The column `stopping` of the trial's claim (sql/functions/trial_stopping.sql). None if the study has no rule.

    Attributes
    ----------
    asks_database : bool
        Whether only the database knows the verdicts, as in steady mode. False for a trial that is never stopped.
    waits : bool
        Whether the trial waits at a rung until the database knows the verdict, as in a study with groups.
    enforces : bool
        Whether the worker ends the training if the objective reports a value after the verdict.
    is_stopped : bool
        Whether a verdict has stopped the trial.
    must_end : bool
        Whether the worker must end the training. The value is true if the study enforces its rule, and if the training
        has reported another value after the verdict.

    Examples
    --------
    >>> rung = {"step": 2, "cutoff": 0.5, "compared": 8, "stops": None, "last_step": None, "last_loss": None}
    >>> trial = TrialStopping({"eta": 3, "enforce": False, "audited": False, "rungs": [rung]})
    >>> trial.observe(1, 0.9), trial.observe(2, 0.7), trial.is_stopped
    (False, True, True)
    """

    def __init__(self, given: Mapping[str, Any] | None) -> None:
        given = given or {"eta": 0, "enforce": False, "audited": False, "rungs": []}
        self.enforces, self._is_audited = given["enforce"], given["audited"]
        self._rungs = [
            _Rung(
                rung["step"],
                _limit(given["eta"], rung),
                rung["stops"],
                rung["last_loss"],
                has_loss=rung["last_step"] is not None,
            )
            for rung in given["rungs"] or ()
        ]
        self.asks_database = not self._is_audited and any(rung["compared"] is None for rung in given["rungs"] or ())
        self.waits = self.asks_database and given.get("waits", False)
        self._seen: set[int] = set()
        self._highest = -1
        self.is_stopped = self.must_end = False

    def stop(self) -> None:
        """Record that the database has stopped the trial."""
        self.is_stopped = True

    def observe(self, step: int, loss: float | None) -> bool:
        """Add a report of the trial. Return whether the report leads to a verdict at a rung."""
        if self.is_stopped:
            self.must_end = self.enforces
            return False
        # If a trial reports a step twice, the ledger ignores the second report.
        if not self._rungs or step in self._seen:
            return False
        self._seen.add(step)
        self._highest = max(self._highest, step)
        for rung in self._rungs:
            rung.add(step, loss)
        # A rung that the trial skips gets no verdict, even if the trial reports a lower step later.
        decided = [rung for rung in self._rungs if rung.step <= self._highest and rung.has_loss]
        self._rungs = [rung for rung in self._rungs if rung.step > self._highest]
        self.is_stopped = not self._is_audited and any(rung.verdict() for rung in decided)
        return bool(decided)


def _limit(eta: int, rung: Mapping[str, Any]) -> float | None:
    """Return the cutoff of a rung. For the meaning of None and for the meaning of infinity, see the result of
    `cutoff`."""
    if rung["compared"] is None or rung["compared"] < eta:
        return None
    return math.inf if rung["cutoff"] is None else float(rung["cutoff"])


def reports_of_call(highest: int, steps: Sequence[int], most: int) -> int:
    """Return the number of reports that a worker sends in the next call of ledger.report.

    The database treats the steps of one call as if they had arrived in increasing order. Therefore, if a step is lower
    than an earlier step, the worker sends the lower step in a separate call. Otherwise, a verdict could depend on how
    many reports the worker sends in one call.

    Parameters
    ----------
    highest : int
        The highest step that the worker has sent, or -1.
    steps : sequence of int
        The steps to send, in the order of the reports. The sequence contains at least one step.
    most : int
        The largest number of reports in a call.

    Examples
    --------
    >>> reports_of_call(-1, [0, 1, 5, 3, 6], 1000), reports_of_call(5, [3, 6], 1000), reports_of_call(5, [6], 1000)
    (3, 1, 1)
    """
    count = 0
    for step in steps[:most]:
        if step <= highest:
            return max(count, 1)
        highest, count = step, count + 1
    return count
