"""LightGBM's classifier, with settings that make its training deterministic."""

from collections.abc import Mapping
from typing import Any

from lightgbm import LGBMClassifier


def estimator(params: Mapping[str, Any], seed: int, threads: int) -> Any:
    """Return an unfitted LGBMClassifier that trains with `threads` threads."""
    settings = dict(params)
    goss = "goss" in (settings.get("data_sample_strategy"), settings.get("boosting_type"))
    if "subsample" in settings and not goss:
        # With the default subsample_freq of 0, LightGBM ignores subsample, so the losses would not depend on subsample.
        # GOSS has its own sampling, and LightGBM refuses to combine GOSS with subsample.
        settings.setdefault("subsample_freq", 1)
    return LGBMClassifier(
        **settings,
        random_state=seed,
        n_jobs=threads,
        verbosity=-1,
        deterministic=True,
        # Without force_row_wise, LightGBM measures the speed of two histogram layouts and selects the faster layout, so
        # two runs may use different layouts.
        force_row_wise=True,
    )
