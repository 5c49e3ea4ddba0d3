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
        The study ends after this number of trials without a better value. The number is at least 1.
    timeout : float, optional
        The maximum time for which managers hold the study, in seconds. After this time, the study ends.

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
        """Return the criteria with the given values.

        If the argument for a criterion is None, the criterion does not change.
        """
        return StoppingCriteria(
            self.target if target is None else target,
            self.patience if patience is None else patience,
            self.timeout if timeout is None else timeout,
        )
