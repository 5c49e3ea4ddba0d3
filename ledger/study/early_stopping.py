"""The settings and the rungs of the rule that stops trials early. `ledger.study.verdicts` computes the verdicts.

In batch mode, the rule "promotion" is the synchronous successive halving of Jamieson and Talwalkar. With several
brackets, the rule is Hyperband with batches of equal size. In steady mode, the rule is the asynchronous successive
halving (ASHA) of Li et al.

References
----------
- K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
- L. Li et al., "Hyperband: a novel bandit-based approach to hyperparameter optimization", JMLR 18, 2018.
- L. Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020.
"""

from typing import Annotated

from pydantic import Field, model_validator

from ledger.database.bounds import LARGEST_BATCH
from ledger.objectives.training_resource import RESOURCES, Resource
from ledger.study.settings import AllowedTexts, SettingsModel
from ledger.study.verdicts import RULES, Rule
from ledger.text import show

# The database stores a row for each rung that a trial reaches. When a worker claims a trial, the answer of the database
# contains a number for each rung.
MOST_RUNGS = 100
LARGEST_STEP = 2**31 - 1
Step = Annotated[int, Field(ge=1, le=LARGEST_STEP)]


class StoppingTable(SettingsModel):
    """The [stopping] table of a study file: the settings of the rule that stops trials early.

    Attributes
    ----------
    rule : str
        "halving" lets the best 1/eta of the trials go on at each rung. In batch mode, "promotion" pauses the trials of
        an iteration at each rung, and then lets the best 1/eta of the trials go on. In steady mode, "promotion" lets a
        trial go on if the trial is among the best 1/eta of all trials that have reached the rung. The other trials
        pause, and can go on later. At each rung, "median" lets a trial go on if the trial is better than the median.
        "none" stops no trial.
    eta : int
        An integer from 2 to 16. "halving" and "promotion" let the best 1/`eta` of the trials go on. A rung of "halving"
        stops no trial before `eta` other trials have reached the rung.
    resource : str or None
        The unit of the steps of a model or an estimator: "rounds" are boosting rounds, and "rows" are training rows.
        None if the objective reports its own steps.
    min_resource : int
        The step of the first rung, from 1.
    max_resource : int or None
        The number of steps of a whole training. All rungs are below this step. Each rule except "none" needs
        `max_resource`.
    brackets : int
        The number of brackets of "promotion" in batch mode. The number of brackets cannot exceed the number of rungs.
        The trials of the iteration ``i`` skip the first ``i % brackets`` rungs.
    group_size : int or None
        The number of trials in each group of an iteration, for "halving" in batch mode. A rung compares a trial with
        the trials of earlier iterations and of the earlier groups of the same iteration. At a rung, a trial waits until
        the trials of the earlier groups have a verdict or have ended. None means that a rung compares a trial only with
        the trials of earlier iterations.
    audit : float
        The share of the trials that the rule never stops, from 0 to 1. The ledger records the verdicts on these audited
        trials. The recorded verdicts show how often the rule would have stopped one of the best trials.
    enforce : bool
        Whether the worker ends the training if the objective reports a value after the rule has stopped the trial.
    """

    rule: Annotated[
        Rule,
        AllowedTexts(RULES, {"hyperband": "use promotion with brackets", "asha": "use promotion in steady mode"}),
    ] = Field(
        default="none",
        description="The rule that stops trials early, based on their reported values: halving, promotion, median or"
        " none.",
    )
    eta: Annotated[int, Field(ge=2, le=16)] = 3
    resource: Annotated[Resource | None, AllowedTexts(RESOURCES)] = Field(
        default=None,
        description="The unit of the steps of a model or an estimator: boosting rounds (rounds), or training rows"
        " (rows). Default: rounds for xgb and lgbm, rows for each other model and estimator.",
    )
    min_resource: Step = 1
    max_resource: Annotated[int | None, Field(ge=1, le=LARGEST_STEP)] = Field(
        default=None,
        description="The number of steps of a whole training, such as the number of epochs. The rule of early stopping"
        " needs this number. Default for a model or an estimator: the largest number of rounds, or 100 (percent of the"
        " rows).",
    )
    brackets: Annotated[int, Field(ge=1, le=MOST_RUNGS)] = 1
    group_size: Annotated[int | None, Field(ge=1, le=LARGEST_BATCH)] = None
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
    >>> rule = EarlyStopping(rule="promotion", eta=3, max_resource=27, brackets=3)
    >>> [rule.rungs_of(iteration) for iteration in range(4)]
    [(1, 3, 9), (3, 9), (9,), (1, 3, 9)]
    >>> rule = EarlyStopping(rule="halving", max_resource=27, group_size=4)
    >>> [rule.group_of(place) for place in (0, 3, 4, 31)]
    [0, 0, 1, 7]
    """

    @model_validator(mode="after")
    def _has_rungs(self) -> "EarlyStopping":
        if self.brackets > 1 and self.rule != "promotion":
            raise ValueError(
                f"brackets {show(self.brackets)} needs the rule `promotion`; set rule to promotion, or remove brackets"
            )
        if self.group_size is not None and self.rule != "halving":
            raise ValueError(
                f"group_size {show(self.group_size)} needs the rule `halving`; set rule to halving, or remove"
                " group_size"
            )
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
        if self.brackets > len(self.rungs):
            raise ValueError(
                f"brackets {show(self.brackets)} is larger than the number of rungs, which is {len(self.rungs)}; set"
                f" brackets to at most {len(self.rungs)}"
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

    def rungs_of(self, iteration: int) -> tuple[int, ...]:
        """Return the rungs of the trials of an iteration. `iteration` modulo `brackets` is the number of the bracket.

        The SQL function ledger.rungs returns the same rungs.
        """
        return self.rungs[iteration % self.brackets :]

    def group_of(self, place: int) -> int:
        """Return the number of the group of a trial. `place` is the place of the trial in its iteration, from 0.

        The SQL function ledger.trial_group returns the same number.
        """
        return 0 if self.group_size is None else place // self.group_size
