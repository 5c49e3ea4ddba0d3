"""The surrogate's prediction at a proposed point, from the observations that the optimizer had when it proposed the
point.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ledger import seeds
from ledger.proposals.encoding import PointEncoder, encoded
from ledger.proposals.environment import one_thread
from ledger.proposals.observations import ProposalInput
from ledger.proposals.propose import is_random, load_optimizer, told_optimizer
from ledger.study.spec import StudySpec

if TYPE_CHECKING:
    from ledger.optimizer import Optimizer
    from ledger.optimizer.prediction import PointPrediction
    from ledger.proposals.loss_transform import YeoJohnson

# The number of quantiles of a predicted distribution from which the code computes the mean and the standard deviation.
QUANTILES = 1_000


@dataclass(frozen=True)
class Expectation:
    """The surrogate's prediction at a proposed point. All predicted values have the unit and the sign of the trials'
    values.

    Attributes
    ----------
    value, deviation : float
        The expected value and its standard deviation.
    acquisition : float or None
        The value of the acquisition function. "EI" is the expected improvement of the value, "PI" is the probability of
        an improvement, and "LCB" is the confidence bound of the value. For the other acquisition functions,
        `acquisition` is None. If the losses were transformed, the optimizer has maximised the expected improvement of
        the transformed losses instead.
    nearest : int
        The index of the nearest observation in `ProposalInput.observations`.
    distance : float
        The Euclidean distance to the nearest observation in the transformed search space. In the transformed search
        space, each number is scaled to [0, 1].
    exponent : float or None
        The exponent of the Yeo-Johnson transform, or None if the surrogate models the losses themselves.
    gain : float or None
        The increase of the log-likelihood by the transform, from the last comparison of both GPs. None if the proposal
        did not consider the transform.
    """

    value: float
    deviation: float
    acquisition: float | None
    nearest: int
    distance: float
    exponent: float | None
    gain: float | None


def expectation(
    study: StudySpec, iteration: int, round: int, given: ProposalInput, params: Mapping[str, Any]
) -> Expectation | None:
    """Fit the surrogate in the same way as `propose`, and return the surrogate's prediction at a point.

    The function fits the surrogate only to the observations. In contrast, `propose` also uses the constant liar's value
    for each trial in flight, and for each point that `propose` has already chosen for the batch. The expectation
    ignores the constant liar's values.

    Parameters
    ----------
    study : StudySpec
    iteration, round : int
        The numbers of the iteration and of the round that contain the point.
    given : ProposalInput
        The input of the proposal.
    params : mapping
        The parameters of the point.

    Returns
    -------
    Expectation or None
        The prediction. The result is None if the points of the proposal were random.

    Raises
    ------
    UsageError
        The point or a trial in `given` has parameters outside the study's search space.

    Examples
    --------
    >>> from ledger.proposals import Observation, propose
    >>> from ledger.study.file import assemble
    >>> study = assemble({"model": "svm", "seed": 7})
    >>> points = propose(study, iteration=0, round=0, size=12, given=ProposalInput()).points
    >>> expectation(study, 0, 0, ProposalInput(), points[0]) is None
    True
    >>> given = ProposalInput([Observation(point, abs(point["C"] - 1.0), 1.0) for point in points])
    >>> proposed = propose(study, 1, 0, 1, given).points[0]
    >>> expected = expectation(study, 1, 0, given, proposed)
    >>> expected.deviation > 0, 0 <= expected.nearest < 12
    (True, True)
    """
    encoder = PointEncoder(study.space)
    known = encoded(encoder, given)
    if is_random(study, known):
        return None
    searched = encoder.converter
    point = searched.point(study.space.normalise(params))
    load_optimizer()
    from ledger.optimizer.prediction import prediction_at

    with one_thread():
        seed = seeds.derive(study.seed, "iteration", iteration, round)
        fitted = told_optimizer(study, searched, seed, known)
        found = prediction_at(fitted.optimizer, fitted.whole(point))
    mean, deviation, acquisition = found.mean, found.deviation, found.acquisition
    if fitted.transform is not None:
        mean, deviation, acquisition = _in_losses(fitted.transform, fitted.optimizer, found)
    losses = [each.loss for each in given.observations if each.loss is not None]
    scale = study.objective.scale
    # The optimizer has received losses that were scaled to [0, 1]. The difference of two losses may be too large for a
    # float, so the code subtracts halves of losses.
    half = (max(losses) / 2 - min(losses) / 2) or 0.5

    def value(scaled: float) -> float:
        return scale.value(2 * (min(losses) / 2 + half * scaled))

    if acquisition is not None and study.optimizer.acq_func == "EI":
        acquisition = 2 * (half * acquisition)
    elif acquisition is not None and study.optimizer.acq_func == "LCB":
        acquisition = value(acquisition)
    return Expectation(
        value(mean),
        2 * (half * deviation),
        acquisition,
        found.nearest,
        found.distance,
        None if fitted.transform is None else fitted.transform.exponent,
        fitted.gain,
    )


def _in_losses(
    transform: "YeoJohnson", optimizer: "Optimizer", found: "PointPrediction"
) -> tuple[float, float, float | None]:
    """Convert a prediction of transformed losses into the mean, the standard deviation and the acquisition value of the
    scaled losses.

    The function computes the mean and the standard deviation from quantiles of the predicted distribution. The expected
    improvement is the probability of an improvement, multiplied by the mean improvement of the losses that improve.
    """
    from scipy.special import log_ndtr, ndtri, ndtri_exp

    # The posterior's standard deviation can round to zero.
    deviation = max(found.deviation, float(np.finfo(float).tiny))
    shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
    losses = transform.inverse(found.mean + deviation * ndtri(shares))
    acquisition = found.acquisition
    if optimizer.acq_func == "LCB" and acquisition is not None:
        acquisition = float(transform.inverse([acquisition])[0])
    elif optimizer.acq_func == "EI":
        best = found.best - (optimizer.acq_func_kwargs or {}).get("xi", 0.0)
        with np.errstate(over="ignore"):
            log_probability = float(log_ndtr((best - found.mean) / deviation))
        if log_probability == -np.inf:
            return float(losses.mean()), float(losses.std()), 0.0
        better = transform.inverse(found.mean + deviation * ndtri_exp(log_probability + np.log(shares)))
        acquisition = float(np.exp(log_probability) * (transform.inverse([best])[0] - better).mean())
    return float(losses.mean()), float(losses.std()), acquisition
