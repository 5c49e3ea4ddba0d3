"""XGBoost's classifier and regressor, with settings that make the training deterministic."""

from collections.abc import Mapping
from typing import Any

from xgboost import XGBClassifier, XGBRegressor

from ledger.objectives.tasks import CLASSIFICATION, REGRESSION


def estimator(params: Mapping[str, Any], seed: int, threads: int, task: str = CLASSIFICATION) -> Any:
    """Return an unfitted XGBClassifier or XGBRegressor that trains with `threads` threads."""
    settings: dict[str, Any] = {"tree_method": "hist", **params}
    kind = XGBRegressor if task == REGRESSION else XGBClassifier
    return kind(**settings, random_state=seed, n_jobs=threads, device="cpu", **reproducible(settings))


def reproducible(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings for a deterministic training with the parameters `params`."""
    if params.get("booster") != "gblinear":
        return {"verbosity": 0}
    # The result of the booster `gblinear` with its default updater depends on the order in which threads run. The
    # default updater of `gblinear` also refuses three values of `feature_selector`: "random", "greedy" and "thrifty".
    return {"verbosity": 0, "updater": "coord_descent"}
