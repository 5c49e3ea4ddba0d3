"""The default search spaces of the built-in models, in the form of the table `[space]` of a study file."""

from typing import Any

from ledger.objectives.tasks import REGRESSION

# Even with the largest `n_estimators` in the default spaces, a trial on the dataset `breast_cancer` takes less than a
# second on one core.
DEFAULT_SPACES: dict[str, dict[str, dict[str, Any]]] = {
    "svm": {
        "C": {"type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform"},
        # The SVM gets features that are scaled to unit variance. If `gamma` is above 1, the value of the RBF kernel for
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

# For a regression, a study searches the hyper-parameters in `_REGRESSION` and the hyper-parameters in `DEFAULT_SPACES`.
_REGRESSION: dict[str, dict[str, dict[str, Any]]] = {
    # The target of the SVM is scaled to unit variance. Therefore the SVM ignores each error that is smaller than
    # `epsilon` standard deviations of the target.
    "svm": {"epsilon": {"type": "real", "low": 1e-3, "high": 1.0, "prior": "log-uniform"}},
}


def default_space(model: str, task: str) -> dict[str, dict[str, Any]]:
    """Return the default search space of a built-in model.

    Examples
    --------
    >>> list(default_space("svm", "classification")), list(default_space("svm", "regression"))
    (['C', 'gamma'], ['C', 'gamma', 'epsilon'])
    """
    return {**DEFAULT_SPACES[model], **(_REGRESSION.get(model, {}) if task == REGRESSION else {})}
