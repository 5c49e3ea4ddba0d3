"""XGBoost's classifier, with settings that give the same trees every time."""

from collections.abc import Mapping
from typing import Any

from xgboost import XGBClassifier


def estimator(params: Mapping[str, Any], seed: int, threads: int) -> Any:
    """Return an unfitted XGBClassifier on `threads` threads."""
    settings: dict[str, Any] = {"tree_method": "hist", **params}
    if settings.get("booster") == "gblinear":
        # the default updater depends on the order of its threads, and refuses two of the feature selectors
        settings["updater"] = "coord_descent"
    return XGBClassifier(**settings, random_state=seed, n_jobs=threads, device="cpu", verbosity=0)
