"""The rule that stops trials early: its settings, its rungs, and its verdict on one trial.

The verdict of a rule is a pure function of the reported losses, so the database, a worker without a connection and
`ledger verify` decide alike. The SQL functions ledger.rung_cutoff and ledger.is_audited compute the same.

References
----------
- K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
- D. Golovin et al., "Google Vizier: a service for black-box optimization", KDD 2017 (the median rule).
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from ledger.study.settings import AllowedTexts, SettingsModel
from ledger.text import show

Rule = Literal["none", "halving", "median"]
RULES: tuple[Rule, ...] = get_args(Rule)

# A rung costs a row for each trial that reaches it, and a number in each answer to a claim.
MOST_RUNGS = 100
LARGEST_STEP = 2**31 - 1
Step = Annotated[int, Field(ge=1, le=LARGEST_STEP)]


class EarlyStopping(SettingsModel):
    """The settings of the rule that stops trials early.

    Attributes
    ----------
    rule : str
        "halving" lets the best 1/eta of the trials go on at each rung. "median" lets the trials go on that are better
        than the median at each rung. "none" stops no trial.
    eta : int
        The share of "halving", from 2 to 16. A rung stops no trial before `eta` other trials have reached the rung.
    min_resource : int
        The step of the first rung, from 1.
    max_resource : int or None
        The step of a whole training. No rung is at this step or after it. "halving" and "median" need it.
    audit : float
        The share of the trials that are never stopped, from 0 to 1. The verdicts on these trials are recorded, so they
        show how often the rule stops a trial that would have been among the best.
    enforce : bool
        Whether the worker ends the training of a stopped trial whose objective does not ask `context.should_prune()`.

    Examples
    --------
    >>> EarlyStopping(rule="halving", eta=3, min_resource=1, max_resource=81).rungs
    (1, 3, 9, 27)
    >>> EarlyStopping(rule="median", min_resource=10, max_resource=40).rungs
    (10, 20, 30)
    >>> EarlyStopping().rungs
    ()
    """

    rule: Annotated[
        Rule,
        AllowedTexts(RULES, {"hyperband": "the ledger has no brackets yet", "asha": "use halving in steady mode"}),
    ] = Field(default="none", description="The rule that stops trials early: halving, median or none.")
    eta: Annotated[int, Field(ge=2, le=16)] = 3
    min_resource: Step = 1
    max_resource: Step | None = None
    audit: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.05
    enforce: bool = False

    @model_validator(mode="after")
    def _has_rungs(self) -> "EarlyStopping":
        if self.rule == "none":
            return self
        if self.max_resource is None:
            raise ValueError(f"max_resource is missing; rule {self.rule} needs the number of steps of a whole training")
        if self.min_resource >= self.max_resource:
            raise ValueError(
                f"min_resource {show(self.min_resource)} is not below max_resource {show(self.max_resource)};"
                " set min_resource below max_resource"
            )
        if self.rule == "median" and (count := -(-self.max_resource // self.min_resource) - 1) > MOST_RUNGS:
            raise ValueError(
                f"min_resource {show(self.min_resource)} gives {count} rungs, at most {MOST_RUNGS} are possible;"
                f" set min_resource to at least {-(-self.max_resource // (MOST_RUNGS + 1))}"
            )
        return self

    @property
    def rungs(self) -> tuple[int, ...]:
        """The steps at which the rule decides, in increasing order."""
        if self.rule == "none" or self.max_resource is None:
            return ()
        if self.rule == "median":
            return tuple(range(self.min_resource, self.max_resource, self.min_resource))
        rungs, step = [], self.min_resource
        while step < self.max_resource:
            rungs.append(step)
            step *= self.eta
        return tuple(rungs)


def cutoff(rule: Rule, eta: int, losses: Sequence[float | None]) -> float | None:
    """Return the loss below which a trial goes on at a rung.

    Parameters
    ----------
    rule : str
        "halving" or "median".
    eta : int
        As in `EarlyStopping`.
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
    count = len(losses)
    if count < eta:
        return None
    # The trial itself is one of count + 1 trials, of which the best 1/eta go on.
    place = max(1, (count + 1) // eta) if rule == "halving" else count // 2 + 1
    return sorted(math.inf if loss is None else loss for loss in losses)[place - 1]


def stops(loss: float | None, limit: float | None) -> bool:
    """Return whether a rung with the cutoff `limit` stops a trial with the given loss. None stands for NaN.

    A trial whose loss is equal to the cutoff stops, because the other trial has the lower number.

    Examples
    --------
    >>> stops(0.3, 0.3), stops(0.2, 0.3), stops(None, float("inf")), stops(None, None)
    (True, False, True, False)
    """
    return limit is not None and (loss is None or loss >= limit)


def is_audited(seed: int, trial: int, share: float) -> bool:
    """Return whether a trial belongs to the share of trials that are never stopped.

    Examples
    --------
    >>> sum(is_audited(7, trial, 0.05) for trial in range(1000))
    49
    """
    digest = hashlib.sha256(f"audit {seed} {trial}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32
