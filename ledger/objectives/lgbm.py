"""LightGBM's classifier, made to give the same trees every time."""

from collections.abc import Mapping
from typing import Any

from lightgbm import LGBMClassifier


def estimator(params: Mapping[str, Any], seed: int, threads: int) -> Any:
    """Return an unfitted LGBMClassifier on `threads` threads."""
    settings = dict(params)
    goss = "goss" in (settings.get("data_sample_strategy"), settings.get("boosting_type"))
    if "subsample" in settings and not goss:
        # LightGBM ignores subsample while its frequency is 0, the default: the search would explore noise.
        # GOSS has a sampling of its own and refuses to run beside this one.
        settings.setdefault("subsample_freq", 1)
    return LGBMClassifier(
        **settings,
        random_state=seed,
        n_jobs=threads,
        verbosity=-1,
        deterministic=True,
        # else it times both layouts of its histograms and takes the faster, which differs from run to run
        force_row_wise=True,
    )
