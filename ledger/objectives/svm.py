"""Support-vector machine on scaled features."""

from collections.abc import Mapping
from typing import Any

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


def estimator(params: Mapping[str, Any], seed: int, threads: int) -> Any:  # noqa: ARG001 (libsvm has one thread)
    """Return an unfitted pipeline of a StandardScaler and an SVC.

    The SVC needs scaled features, because its kernels give more weight to features with large values.
    """
    return make_pipeline(StandardScaler(), SVC(**params, random_state=seed))
