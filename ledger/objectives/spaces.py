"""The default search spaces of the built-in models, in the form of the [space] table of a study file."""

from typing import Any

# Even with the largest n_estimators in the default spaces, a trial on the dataset breast_cancer takes less than a
# second on one core.
DEFAULT_SPACES: dict[str, dict[str, dict[str, Any]]] = {
    "svm": {
        "C": {"type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform"},
        # The SVM gets features that are scaled to unit variance. If gamma is above 1, the value of the RBF kernel for
        # two different rows is nearly 0.
        "gamma": {"type": "real", "low": 1e-4, "high": 1.0, "prior": "log-uniform"},
    },
    "xgb": {
        "learning_rate": {"type": "real", "low": 0.01, "high": 0.3, "prior": "log-uniform"},
        "n_estimators": {"type": "integer", "low": 50, "high": 400},
        "max_depth": {"type": "integer", "low": 2, "high": 10},
    },
    "lgbm": {
        "learning_rate": {"type": "real", "low": 0.01, "high": 0.3, "prior": "log-uniform"},
        "n_estimators": {"type": "integer", "low": 50, "high": 400},
        "num_leaves": {"type": "integer", "low": 4, "high": 128, "prior": "log-uniform"},
    },
}
