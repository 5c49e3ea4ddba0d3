"""Support-vector machine on scaled features."""

from collections.abc import Mapping
from typing import Any

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


def estimator(params: Mapping[str, Any], seed: int, threads: int) -> Any:  # noqa: ARG001 (libsvm has one thread)
    """Return an unfitted SVC after a StandardScaler, because its kernels weigh features by their scale."""
    return make_pipeline(StandardScaler(), SVC(**params, random_state=seed))
