"""The spaces searched by default, in the form of a study file's [space] table."""

from typing import Any

# Bounds of n_estimators: a trial on breast_cancer takes well under a second on one core even at the upper one.
DEFAULT_SPACES: dict[str, dict[str, dict[str, Any]]] = {
    "svm": {
        "C": {"type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform"},
        # features are scaled to unit variance: from 1 on, every row is alone with itself
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
