"""Objectives that workers load with `--allow benchmarks`. This module imports no large library."""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger import Context

# The worker's environment variable with the seconds that `sleeping` takes.
SECONDS = "BENCHMARK_SECONDS"
# The worker's environment variable with the number of values that `reporting` reports.
REPORTS = "BENCHMARK_REPORTS"


def valley(params: Mapping[str, float]) -> float:
    """Return a loss without delay."""
    return sum((value - 0.3) ** 2 for value in params.values())


def sleeping(params: Mapping[str, float]) -> float:
    """Return the same loss after a delay."""
    time.sleep(float(os.environ[SECONDS]))
    return valley(params)


def reporting(params: Mapping[str, float], context: "Context") -> float:
    """Report values without delay, and return a loss."""
    loss = valley(params)
    for step in range(int(os.environ[REPORTS])):
        context.report(loss, step)
    return loss
