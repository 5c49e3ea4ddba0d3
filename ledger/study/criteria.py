"""The criteria that end a study before its budget is used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StoppingCriteria:
    """The criteria that end a study before its budget is used. None means that the study has no such criterion.

    The SQL function ledger.criterion_met checks the criteria.

    Parameters
    ----------
    target : float, optional
        The value at which the study ends. If the study minimises, the study ends at the first value that is at most the
        target. If the study maximises, the study ends at the first value that is at least the target.
    patience : int, optional
        The number of trials without a better value after which the study ends, at least 1.
    timeout : float, optional
        The seconds for which managers may hold the study before the study ends.

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
        """Return the criteria with the given values. None keeps the value of a criterion."""
        return StoppingCriteria(
            self.target if target is None else target,
            self.patience if patience is None else patience,
            self.timeout if timeout is None else timeout,
        )
