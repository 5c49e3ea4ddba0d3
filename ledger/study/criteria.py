"""The criteria that can end a study before the study has used its budget."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StoppingCriteria:
    """The criteria that can end a study before the study has used its budget.

    If a criterion is None, the study does not use the criterion. The SQL function `ledger.criterion_met` checks the
    criteria.

    Parameters
    ----------
    target : float, optional
        The target value. If the study minimises the value, the study ends when a trial has a value of at most `target`.
        If the study maximises the value, the study ends when a trial has a value of at least `target`.
    patience : int, optional
        The study ends when `patience` trials have ended without a better value. `patience` is at least 1.
    timeout : float, optional
        The time in seconds after which the study ends. The time does not include periods in which no manager runs the
        study.

    Examples
    --------
    >>> StoppingCriteria(target=0.95).changed(timeout=3600.0)
    StoppingCriteria(target=0.95, patience=None, timeout=3600.0)
    """

    target: float | None = None
    patience: int | None = None
    timeout: float | None = None

    def changed(
        self, target: float | None = None, patience: int | None = None, timeout: float | None = None
    ) -> "StoppingCriteria":
        """Return a copy of the criteria with the given values.

        If an argument is None, the copy has the previous value of the criterion.
        """
        return StoppingCriteria(
            self.target if target is None else target,
            self.patience if patience is None else patience,
            self.timeout if timeout is None else timeout,
        )
