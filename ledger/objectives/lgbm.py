"""LightGBM's classifier, with settings that give the same trees every time."""

from collections.abc import Mapping
from typing import Any

from lightgbm import LGBMClassifier


def estimator(params: Mapping[str, Any], seed: int, threads: int) -> Any:
    """Return an unfitted LGBMClassifier on `threads` threads."""
    settings = dict(params)
    goss = "goss" in (settings.get("data_sample_strategy"), settings.get("boosting_type"))
    if "subsample" in settings and not goss:
        # LightGBM ignores subsample while its frequency is 0, the default, and the search would then explore noise.
        # GOSS samples by itself and refuses to be combined with it.
        settings.setdefault("subsample_freq", 1)
    return LGBMClassifier(
        **settings,
        random_state=seed,
        n_jobs=threads,
        verbosity=-1,
        deterministic=True,
        # without it, LightGBM chooses the faster of two histogram layouts, which differs from run to run
        force_row_wise=True,
    )
