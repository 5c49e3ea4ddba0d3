"""Support-vector machine on scaled features."""

from collections.abc import Mapping
from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from ledger.objectives.tasks import CLASSIFICATION, REGRESSION


def estimator(
    params: Mapping[str, Any],
    seed: int,
    threads: int,  # noqa: ARG001 (libsvm has one thread)
    task: str = CLASSIFICATION,
) -> Any:
    """Return an unfitted pipeline of a StandardScaler and an SVC or SVR.

    The SVM needs scaled features, because the kernels of the SVM give more weight to features with large values. The
    SVR also needs a scaled target for two reasons: `C` limits the range of the predictions, and `epsilon` has the same
    unit as the target.
    """
    if task == REGRESSION:
        return make_pipeline(StandardScaler(), TransformedTargetRegressor(SVR(**params), transformer=StandardScaler()))
    return make_pipeline(StandardScaler(), SVC(**params, random_state=seed))
