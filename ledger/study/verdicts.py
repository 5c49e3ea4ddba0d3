"""The verdict of a rule of early stopping on one trial.

The verdict is a pure function of the reported losses. Therefore the database, a worker without a connection and
`ledger verify` reach the same verdict. The database computes the verdicts with the SQL functions ledger.rung_cutoff,
ledger.is_stopped, ledger.promotion_cutoff, ledger.goes_on, ledger.is_audited and ledger.decide. A worker imports this
module, so the module imports no large package.

References
----------
- K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
- L. Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020 (promotion in steady mode).
- D. Golovin et al., "Google Vizier: a service for black-box optimization", KDD 2017 (the median rule).
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

Rule = Literal["none", "halving", "promotion", "median"]
RULES: tuple[Rule, ...] = get_args(Rule)


def cutoff(rule: Rule, eta: int, losses: Sequence[float | None]) -> float | None:
    """Return the loss below which a trial goes on at a rung.

    Parameters
    ----------
    rule : str
        "halving" or "median".
    eta : int
        The attribute `eta` of `EarlyStopping`.
    losses : sequence of float or None
        The losses of the other trials at the rung, in any order. None stands for NaN, and is the worst loss.

    Returns
    -------
    float or None
        The cutoff. Infinity means that every trial with a loss goes on. None means that too few trials have reached
        the rung, so the rung stops no trial.

    Examples
    --------
    >>> cutoff("halving", 2, [0.4, 0.1, 0.3]), cutoff("median", 2, [0.4, 0.1, 0.3]), cutoff("halving", 4, [0.1])
    (0.3, 0.3, None)
    """
    return cutoff_of_ordered(rule, eta, sorted(math.inf if loss is None else loss for loss in losses))


def cutoff_of_ordered(rule: Rule, eta: int, losses: Sequence[float]) -> float | None:
    """Return the cutoff for losses in increasing order. Infinity stands for NaN.

    A caller that adds losses one by one can keep the losses in order, so no call has to sort all losses again.

    Examples
    --------
    >>> cutoff_of_ordered("median", 2, [0.1, 0.3, 0.4]), cutoff_of_ordered("halving", 4, [0.1])
    (0.3, None)
    """
    count = len(losses)
    if count < eta:
        return None
    # `losses` does not contain the loss of the present trial, so the rung has `count + 1` trials. The best 1/eta of all
    # trials at the rung go on.
    place = max(1, (count + 1) // eta) if rule == "halving" else count // 2 + 1
    return losses[place - 1]


def stops(loss: float | None, limit: float | None) -> bool:
    """Return whether a rung with the cutoff `limit` stops a trial with the given loss. None stands for NaN.

    The rung also stops a trial whose loss is equal to the cutoff. In that case, the trial that defines the cutoff is
    the better trial, because this trial has a lower number.

    Examples
    --------
    >>> stops(0.3, 0.3), stops(0.2, 0.3), stops(None, float("inf")), stops(None, None)
    (True, False, True, False)
    """
    return limit is not None and (loss is None or loss >= limit)


def compared_trials(
    batch_size: int, own: Iterable[tuple[int, float | None]], earlier: Sequence[tuple[int, float | None]]
) -> list[tuple[int, float | None]]:
    """Return the trials that a rung of the rule "promotion" compares in batch mode.

    The rung compares the trials of the iteration. If these trials are fewer than `batch_size`, the rung also compares
    the latest trials of earlier iterations. Without the earlier trials, a rung that few trials reach could stop no
    trial.

    Parameters
    ----------
    batch_size : int
        The batch size with which the study was created.
    own : iterable of (int, float or None)
        The number and the loss of each trial of the iteration that has reached the rung and is not audited. None stands
        for NaN.
    earlier : sequence of (int, float or None)
        The number and the loss of each trial of earlier iterations that has a verdict at the rung and is not audited,
        in ascending order of the numbers.

    Examples
    --------
    >>> compared_trials(3, [(8, 0.3), (9, None)], [(0, 0.1), (4, 0.2)])
    [(8, 0.3), (9, None), (4, 0.2)]
    >>> compared_trials(2, [(8, 0.3), (9, None)], [(0, 0.1), (4, 0.2)])
    [(8, 0.3), (9, None)]
    """
    found = list(own)
    missing = batch_size - len(found)
    return [*found, *earlier[-missing:]] if missing > 0 else found


def promotion_cutoff(eta: int, arrivals: Iterable[tuple[int, float | None]]) -> tuple[float, int] | None:
    """Return the best compared trial that is not among the best 1/`eta` of the compared trials of a rung.

    Only the rule "promotion" uses this cutoff. If the rung compares fewer than `eta` trials, each trial with a loss
    goes on.

    Parameters
    ----------
    eta : int
        The attribute `eta` of `EarlyStopping`.
    arrivals : iterable of (int, float or None)
        The number and the loss of each compared trial. In batch mode, the compared trials are the result of
        `compared_trials`. In steady mode, the compared trials are the trial of a given arrival at the rung, and all
        trials that have arrived at the rung earlier. None stands for NaN. A trial with NaN never goes on.

    Returns
    -------
    tuple of (float, int) or None
        The loss and the number of this trial. A trial goes on if its loss is lower than the
        returned loss. A trial with a loss equal to the returned loss goes on if its number is lower than the returned
        number. None means that each trial with a loss goes on.

    Examples
    --------
    >>> promotion_cutoff(2, [(0, 0.3), (1, 0.1), (2, 0.3), (3, None)])
    (0.3, 2)
    >>> promotion_cutoff(3, [(0, 0.3), (1, 0.1)])
    """
    known = list(arrivals)
    ranked = sorted((loss, number) for number, loss in known if loss is not None)
    return promotion_cutoff_of_ordered(eta, len(known), ranked)


def promotion_cutoff_of_ordered(eta: int, count: int, ranked: Sequence[tuple[float, int]]) -> tuple[float, int] | None:
    """Return the same cutoff as `promotion_cutoff`, from trials that are already in order.

    A caller that adds one arrival after another can insert each arrival into `ranked`, and does not have to sort
    `ranked` again.

    Parameters
    ----------
    eta : int
        The attribute `eta` of `EarlyStopping`.
    count : int
        The number of all compared trials, including the trials with NaN.
    ranked : sequence of (float, int)
        The loss and the number of each compared trial with a loss, in ascending order.

    Returns
    -------
    (float, int) or None
        The return value of `promotion_cutoff`.

    Examples
    --------
    >>> promotion_cutoff_of_ordered(2, 4, [(0.1, 1), (0.3, 0), (0.3, 2)])
    (0.3, 2)
    """
    best = max(1, count // eta)
    return ranked[best] if count >= eta and best < len(ranked) else None


def goes_on(loss: float | None, trial: int, limit: tuple[float, int] | None) -> bool:
    """Return whether a trial goes on at a rung of the rule "promotion" with the cutoff `limit`. None stands for NaN.

    Examples
    --------
    >>> goes_on(0.3, 1, (0.3, 2)), goes_on(0.3, 2, (0.3, 2)), goes_on(None, 1, None)
    (True, False, False)
    """
    return loss is not None and (limit is None or (loss, trial) < limit)


def is_audited(seed: int, trial: int, share: float) -> bool:
    """Return whether the audit includes a trial. A rule never stops an audited trial.

    Examples
    --------
    >>> sum(is_audited(7, trial, 0.05) for trial in range(1000))
    49
    """
    digest = hashlib.sha256(f"audit {seed} {trial}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32
