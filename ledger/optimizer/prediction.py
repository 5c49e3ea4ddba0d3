"""The prediction of a fitted optimizer at one point of the search space."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.multioutput import MultiOutputRegressor

from ledger.optimizer import acquisition
from ledger.optimizer.batch import predictions_of
from ledger.optimizer.columns import TransformedSpace
from ledger.optimizer.gaussian_process import standardise
from ledger.optimizer.optimizer import Optimizer


@dataclass(frozen=True)
class PointPrediction:
    """The prediction of a fitted optimizer at one point.

    Attributes
    ----------
    mean, deviation : float
        The predicted loss and its standard deviation, in the unit of the losses that the optimizer has received.
    acquisition : float or None
        The value of the acquisition function. "EI" is the expected improvement, in the unit of the losses. "PI" is the
        probability of an improvement. "LCB" is the lower confidence bound of the loss. For the other acquisition
        functions, `acquisition` is None. The value of "MES" depends on all candidates. The values of "EIps" and "PIps"
        have no common unit.
    best : float
        The lowest observed loss of a whole training.
    nearest : int
        The index of the nearest observed point, in the order in which the optimizer received the points.
    distance : float
        The Euclidean distance to the nearest observed point in the transformed space. In the transformed space, a
        number is one column, with values in [0, 1]. A categorical dimension with more than two choices has one column
        for each choice, with the value 0 or 1.
    """

    mean: float
    deviation: float
    acquisition: float | None
    best: float
    nearest: int
    distance: float


def prediction_at(optimizer: Optimizer, point: list[Any]) -> PointPrediction:
    """Return the prediction of a fitted optimizer at one point.

    Parameters
    ----------
    optimizer : Optimizer
        An optimizer with a fitted Gaussian process or forest.
    point : list
        A point of the optimizer's space.

    Returns
    -------
    PointPrediction

    Examples
    --------
    >>> optimizer = Optimizer([(0.0, 1.0)], n_initial_points=1, acq_func="PI", random_state=1)
    >>> result = optimizer.tell([[0.0], [0.25], [0.5], [1.0]], [1.0, 0.5, 0.25, 0.75])
    >>> found = prediction_at(optimizer, [0.75])
    >>> found.nearest, found.distance, 0 < found.acquisition < 1
    (2, 0.25, True)
    """
    columns = TransformedSpace(optimizer.space)
    rows, row = optimizer.rows(), columns.transform([point])
    losses = optimizer.observed().reshape(len(rows), -1)[:, 0]
    are_whole = columns.are_whole(rows)
    model = optimizer.models[-1]
    of_loss = model.estimators_[0] if isinstance(model, MultiOutputRegressor) else model
    mean, deviation = predictions_of(of_loss, row, rows, losses).predict()
    distances = np.linalg.norm(columns.whole(rows) - row, axis=1)
    nearest = int(np.argmin(distances))
    return PointPrediction(
        float(mean[0]),
        float(deviation[0]),
        _acquisition(optimizer, losses, are_whole, float(mean[0]), float(deviation[0])),
        float(losses[are_whole].min()),
        nearest,
        float(distances[nearest]),
    )


def _acquisition(optimizer: Optimizer, losses: Any, are_whole: Any, mean: float, deviation: float) -> float | None:
    options = optimizer.acq_func_kwargs or {}
    kappa = options.get("kappa", acquisition.KAPPA)
    if optimizer.acq_func == "LCB":
        return None if kappa == "inf" else mean - float(kappa) * deviation
    if optimizer.acq_func not in ("EI", "PI"):
        return None
    # Before a proposal, the optimizer standardises the losses. This code standardises the losses in the same way.
    # Without the standardisation, rounding errors could be large for very large or very small losses.
    standardised, centre, scale = standardise(losses)
    logarithm = acquisition.utility(
        optimizer.acq_func,
        np.array([(mean - centre) / scale]),
        np.array([deviation / scale]),
        float(standardised[are_whole].min()),
        options.get("xi", acquisition.XI) / scale,
        kappa,
    ).value
    value = math.exp(float(logarithm[0]))
    return value * scale if optimizer.acq_func == "EI" else value
