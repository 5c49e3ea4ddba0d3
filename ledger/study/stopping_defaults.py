"""The default values of early stopping for an objective that trains a built-in model or an estimator."""

from typing import Any

from ledger.database.bounds import MOST_REPORTS
from ledger.errors import UsageError
from ledger.objectives.training_resource import BOOSTING_MODELS
from ledger.study.dimensions import Categorical, Integer, Real
from ledger.study.early_stopping import StoppingTable
from ledger.study.objective import Objective
from ledger.study.space import Space

# The value of `max_resource` for the resource "rows". One step is one percent of the rows.
_WHOLE_ROWS = 100
# `_ROUNDS` is the name of the hyper-parameter that sets the number of rounds. `_DEFAULT_ROUNDS` is the default number
# of rounds in XGBoost and LightGBM.
_ROUNDS, _DEFAULT_ROUNDS = "n_estimators", 100


def with_defaults(table: StoppingTable, objective: Objective, space: Space) -> dict[str, Any]:
    """Return the given values of the table [stopping], and the default values that depend on the objective.

    The steps of a function or a program are unknown. Therefore the result for a function or a program contains only the
    given values.

    Parameters
    ----------
    table : StoppingTable
    objective : Objective
    space : Space
        The search space, which may contain the number of rounds.

    Raises
    ------
    UsageError
        The objective does not have the resource. The message is one line, without the place of the setting.

    Examples
    --------
    >>> from ledger.study.file import assemble
    >>> study = assemble({"model": "xgb", "rule": "halving"})
    >>> study.stopping.resource, study.stopping.max_resource, study.stopping.rungs
    ('rounds', 400, (45, 135))
    >>> assemble({"model": "svm", "rule": "halving"}).stopping.rungs
    (12, 36)
    """
    given = table.model_dump(exclude_unset=True)
    if table.rule == "none":
        return given
    if not objective.trains:
        if table.resource is not None:
            raise UsageError(
                f"the resource {table.resource} is for a model or an estimator, but your own objective reports its own"
                " steps; leave resource out"
            )
        return given
    boosts = objective.model in BOOSTING_MODELS
    resource = table.resource or ("rounds" if boosts else "rows")
    if resource == "rounds":
        _check_rounds(objective, boosts=boosts, rounds=_rounds(objective, space))
    largest = table.max_resource or (_rounds(objective, space) if resource == "rounds" else _WHOLE_ROWS)
    # A score after few rounds, or with few rows, is not a good basis for a verdict. With the resource "rows", each rung
    # needs a separate training. Therefore the defaults give two rungs to the rules "halving" and "promotion", and three
    # rungs to the rule "median".
    parts = 4 if table.rule == "median" else table.eta**2
    return {"min_resource": -(-largest // parts), **given, "resource": resource, "max_resource": largest}


def _check_rounds(objective: Objective, *, boosts: bool, rounds: int) -> None:
    if not boosts:
        raise UsageError(f"only the models {' and '.join(BOOSTING_MODELS)} have rounds; set resource to rows")
    if objective.cv is not None:
        raise UsageError(
            "with cv, a trial trains one fold after the other, so the mean score after a round is unknown until all"
            " folds are trained; set resource to rows, or leave cv out"
        )
    if rounds > MOST_REPORTS:
        raise UsageError(
            f"{_ROUNDS} is up to {rounds:,}, but a trial can report at most {MOST_REPORTS:,} rounds; set"
            f" resource to rows, or choose a smaller {_ROUNDS}"
        )


def _rounds(objective: Objective, space: Space) -> int:
    """Return the largest number of rounds of a trial."""
    values: list[Any] = [(objective.params or {}).get(_ROUNDS)]
    for dimension in space.dimensions:
        if dimension.name == _ROUNDS:
            if isinstance(dimension, Categorical):
                values = list(dimension.choices)
            elif isinstance(dimension, Integer | Real):
                values = [dimension.high]
    numbers = [int(value) for value in values if isinstance(value, int | float)]
    # If the number of rounds is None, XGBoost uses its default.
    return max(numbers) if numbers and None not in values else max([_DEFAULT_ROUNDS, *numbers])
