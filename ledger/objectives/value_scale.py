"""The relation between the value that an objective returns and the loss that the optimizer minimises."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from ledger.objectives import metrics

Direction: TypeAlias = Literal["minimize", "maximize"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True)
class ValueScale:
    """The relation between the values and the losses of a study. The methods convert values to losses, and losses to
    values.

    The SQL function `ledger.value` also converts losses to values, and returns the same values.

    Parameters
    ----------
    direction : {"minimize", "maximize"}
        Whether the study searches for the lowest or for the highest value.
    loss_of_zero : float
        The loss that belongs to the value 0. If the direction is "minimize", the loss is the value itself. If the
        direction is "maximize", the loss is ``loss_of_zero - value``.

    Examples
    --------
    >>> accuracy = ValueScale("maximize", 1.0)
    >>> accuracy.loss(0.75), accuracy.value(0.25)
    (0.25, 0.75)
    """

    direction: Direction = "minimize"
    loss_of_zero: float = 0.0

    @property
    def is_maximised(self) -> bool:
        """Whether the highest value is the best value."""
        return self.direction == "maximize"

    def loss(self, value: float) -> float:
        """Convert a value to a loss."""
        return self.loss_of_zero - value if self.is_maximised else value

    def value(self, loss: float, score: object = None) -> float:
        """Convert a loss to a value.

        If `score` is None, the last digit of the result can be inexact, because the method computes the value from the
        loss.

        Parameters
        ----------
        loss : float
        score : object, optional
            The value of the study's metric. If the loss of `score` is equal to `loss`, the method returns `score`.
        """
        if not self.is_maximised:
            return loss
        if isinstance(score, int | float) and not isinstance(score, bool) and self.loss(score) == loss:
            return float(score)
        return self.loss_of_zero - loss


def value_scale(objective: Mapping[str, Any]) -> ValueScale:
    """Return the `ValueScale` of the objective in a study's spec.

    A study maximises the score of a model or an estimator. For a metric whose name begins with "neg_", the loss of a
    score is ``-score``. For any other metric, the loss is ``1 - score``.

    Examples
    --------
    >>> value_scale({"function": "my.code:profit", "direction": "maximize"}).loss(12.5)
    -12.5
    >>> value_scale({"model": "svm", "dataset": "iris"})
    ValueScale(direction='maximize', loss_of_zero=1.0)
    >>> value_scale({"estimator": "sklearn.svm:SVR", "metric": "neg_mean_squared_error"})
    ValueScale(direction='maximize', loss_of_zero=0.0)
    """
    if any(key in objective for key in ("model", "estimator", "steps")):
        return ValueScale("maximize", metrics.loss(str(objective.get("metric", metrics.DEFAULT)), 0.0) + 0.0)
    return ValueScale("maximize" if objective.get("direction") == "maximize" else "minimize")
