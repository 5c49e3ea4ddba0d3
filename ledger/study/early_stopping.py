"""The settings of the rule that stops trials early, and its rungs. `ledger.study.verdicts` has the verdicts."""

from typing import Annotated

from pydantic import Field, model_validator

from ledger.objectives.training_resource import RESOURCES, Resource
from ledger.study.settings import AllowedTexts, SettingsModel
from ledger.study.verdicts import RULES, Rule
from ledger.text import show

# The database stores a row for each rung that a trial reaches. Each answer to a claim contains a number for each rung.
MOST_RUNGS = 100
LARGEST_STEP = 2**31 - 1
Step = Annotated[int, Field(ge=1, le=LARGEST_STEP)]


class StoppingTable(SettingsModel):
    """The [stopping] table of a study file: the settings of the rule that stops trials early.

    Attributes
    ----------
    rule : str
        "halving" lets the best 1/eta of the trials go on at each rung. "median" lets the trials go on that are better
        than the median at each rung. "none" stops no trial.
    eta : int
        The share of "halving", from 2 to 16. A rung stops no trial before `eta` other trials have reached the rung.
    resource : str or None
        What the steps of a model or an estimator count: "rounds" are boosting rounds, and "rows" are training rows.
        None if the objective reports its own steps.
    min_resource : int
        The step of the first rung, from 1.
    max_resource : int or None
        The step of a whole training. No rung is at this step or after it. "halving" and "median" need it.
    audit : float
        The share of the trials that are never stopped, from 0 to 1. The ledger records the verdicts on these trials.
        These verdicts show how often the rule would have stopped one of the best trials.
    enforce : bool
        Whether the worker ends the training if the objective reports a value after the rule has stopped the trial.
    """

    rule: Annotated[
        Rule,
        AllowedTexts(RULES, {"hyperband": "the ledger has no brackets yet", "asha": "use halving in steady mode"}),
    ] = Field(
        default="none",
        description="The rule that stops trials early by the values that they report: halving, median or none.",
    )
    eta: Annotated[int, Field(ge=2, le=16)] = 3
    resource: Annotated[Resource | None, AllowedTexts(RESOURCES)] = Field(
        default=None,
        description="What the steps of a model or an estimator count: boosting rounds (rounds), or training rows"
        " (rows). Default: rounds for xgb and lgbm, rows for each other model and estimator.",
    )
    min_resource: Step = 1
    max_resource: Annotated[int | None, Field(ge=1, le=LARGEST_STEP)] = Field(
        default=None,
        description="The number of steps of a whole training, such as the number of epochs. The rule of early stopping"
        " needs this number. Default for a model or an estimator: the largest number of rounds, or 100 (percent of the"
        " rows).",
    )
    audit: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.05
    enforce: bool = False


class EarlyStopping(StoppingTable):
    """The checked settings of the rule that stops trials early.

    Examples
    --------
    >>> EarlyStopping(rule="halving", eta=3, min_resource=1, max_resource=81).rungs
    (1, 3, 9, 27)
    >>> EarlyStopping(rule="median", min_resource=10, max_resource=40).rungs
    (10, 20, 30)
    >>> EarlyStopping().rungs
    ()
    """

    @model_validator(mode="after")
    def _has_rungs(self) -> "EarlyStopping":
        if self.rule == "none":
            return self
        if self.max_resource is None:
            raise ValueError(
                f"max_resource is missing; rule {self.rule} needs the number of steps of a whole training, as in"
                " --max-resource 81"
            )
        if self.min_resource >= self.max_resource:
            raise ValueError(
                f"min_resource {show(self.min_resource)} is not below max_resource {show(self.max_resource)};"
                " set min_resource below max_resource"
            )
        if self.rule == "median" and (count := -(-self.max_resource // self.min_resource) - 1) > MOST_RUNGS:
            raise ValueError(
                f"min_resource {show(self.min_resource)} gives {count} rungs, but at most {MOST_RUNGS} are possible;"
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
