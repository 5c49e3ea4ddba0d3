"""Objectives that workers load with `--allow benchmarks`; nothing heavy is imported here."""

import os
import time
from collections.abc import Mapping

# How long `sleeping` takes, in the worker's environment.
SECONDS = "BENCHMARK_SECONDS"


def valley(params: Mapping[str, float]) -> float:
    """Return a loss at once."""
    return sum((value - 0.3) ** 2 for value in params.values())


def sleeping(params: Mapping[str, float]) -> float:
    """Return the same loss after a while."""
    time.sleep(float(os.environ[SECONDS]))
    return valley(params)
