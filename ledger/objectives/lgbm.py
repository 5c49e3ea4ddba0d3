"""LightGBM's classifier, with settings that make its training deterministic."""

from collections.abc import Mapping
from typing import Any

from lightgbm import LGBMClassifier


def estimator(params: Mapping[str, Any], seed: int, threads: int) -> Any:
    """Return an unfitted LGBMClassifier that trains with `threads` threads."""
    settings = dict(params)
    goss = "goss" in (settings.get("data_sample_strategy"), settings.get("boosting_type"))
    if "subsample" in settings and not goss:
        # LightGBM ignores subsample if subsample_freq is 0, which is the default. In that case, the losses would not
        # depend on subsample. GOSS has its own sampling, and LightGBM refuses to combine GOSS with subsample.
        settings.setdefault("subsample_freq", 1)
    return LGBMClassifier(
        **settings,
        random_state=seed,
        n_jobs=threads,
        verbosity=-1,
        deterministic=True,
        # Without this option, LightGBM chooses the faster of two histogram layouts. The choice can differ between runs.
        force_row_wise=True,
    )
