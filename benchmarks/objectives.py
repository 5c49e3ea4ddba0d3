"""Objectives that workers load with `--allow benchmarks`. This module imports no large library."""

import os
import time
from collections.abc import Mapping

# The worker's environment variable with the seconds that `sleeping` takes.
SECONDS = "BENCHMARK_SECONDS"


def valley(params: Mapping[str, float]) -> float:
    """Return a loss without delay."""
    return sum((value - 0.3) ** 2 for value in params.values())


def sleeping(params: Mapping[str, float]) -> float:
    """Return the same loss after a delay."""
    time.sleep(float(os.environ[SECONDS]))
    return valley(params)
