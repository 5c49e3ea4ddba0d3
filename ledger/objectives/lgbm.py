"""LightGBM's classifier and regressor, with settings that make the training deterministic."""

from collections.abc import Mapping
from typing import Any

from lightgbm import LGBMClassifier, LGBMRegressor

from ledger.objectives.tasks import CLASSIFICATION, REGRESSION

# Without `force_row_wise`, LightGBM measures the speed of two histogram layouts and selects the faster layout.
# Therefore two runs without `force_row_wise` may use different layouts.
REPRODUCIBLE = {"verbosity": -1, "deterministic": True, "force_row_wise": True}


def estimator(params: Mapping[str, Any], seed: int, threads: int, task: str = CLASSIFICATION) -> Any:
    """Return an unfitted LGBMClassifier or LGBMRegressor that trains with `threads` threads."""
    settings = dict(params)
    goss = "goss" in (settings.get("data_sample_strategy"), settings.get("boosting_type"))
    if "subsample" in settings and not goss:
        # LightGBM ignores the hyper-parameter `subsample` if `subsample_freq` has its default value 0. If
        # `subsample_freq` is 0, the losses do not depend on `subsample`. GOSS has its own sampling method, and LightGBM
        # refuses to combine GOSS with `subsample`.
        settings.setdefault("subsample_freq", 1)
    kind = LGBMRegressor if task == REGRESSION else LGBMClassifier
    return kind(**settings, random_state=seed, n_jobs=threads, **REPRODUCIBLE)
