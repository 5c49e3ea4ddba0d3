"""XGBoost's classifier, with settings that make its training deterministic."""

from collections.abc import Mapping
from typing import Any

from xgboost import XGBClassifier


def estimator(params: Mapping[str, Any], seed: int, threads: int) -> Any:
    """Return an unfitted XGBClassifier that trains with `threads` threads."""
    settings: dict[str, Any] = {"tree_method": "hist", **params}
    if settings.get("booster") == "gblinear":
        # The result of gblinear's default updater depends on the order in which threads run. The default updater of
        # gblinear also refuses the values random, greedy and thrifty of feature_selector.
        settings["updater"] = "coord_descent"
    return XGBClassifier(**settings, random_state=seed, n_jobs=threads, device="cpu", verbosity=0)
