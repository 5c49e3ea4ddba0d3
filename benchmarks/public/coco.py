"""Functions of COCO: the suites bbob, bbob-mixint and bbob-noisy, through the package `coco-experiment`.

The suites are described by Hansen and others 2021 ("COCO: a platform for comparing continuous optimizers in a black-box
setting") and, with integers, by Tusar, Brockhoff and Hansen 2019.
"""

import contextlib
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.public.problem import Problem, reference
from ledger.study.dimensions import Dimension, Integer, Real
from ledger.study.space import Space

NOISY = "bbob-noisy"
SUITES = ("bbob", "bbob-mixint", NOISY)
# The expected loss of a noisy function is the median of this number of losses.
REPEATED = 201


def load(name: str) -> Problem:
    """Return a function from its suite, number, dimension and instance, such as "bbob/f8/d10/i3"."""
    suite, function, dimension, instance = name.split("/")
    given = _problem(suite, int(function[1:]), int(dimension[1:]), int(instance[1:]))
    # Another copy, because each evaluation of a noisy function changes the noise of the next one.
    copy = _problem(suite, int(function[1:]), int(dimension[1:]), int(instance[1:]))
    space = Space(tuple(_dimensions(given)))
    count = REPEATED if suite == NOISY else 1

    def expected(params: Mapping[str, Any]) -> float:
        return statistics.median(float(copy(list(params.values()))) for _ in range(count))

    return Problem(
        name,
        space,
        lambda params: float(given(list(params.values()))),
        expected,
        float(copy(_best_point(copy))),
        reference(space, expected)[1],
        is_noisy=suite == NOISY,
    )


def _problem(suite: str, function: int, dimension: int, instance: int) -> Any:
    import cocoex

    first = 101 if suite == NOISY else 1
    options = f"dimensions: {dimension} function_indices: {function - first + 1}"
    return cocoex.Suite(suite, f"instances: {instance}", options)[0]


def _dimensions(problem: Any) -> list[Dimension]:
    integers = problem.number_of_integer_variables
    found: list[Dimension] = []
    for index, (low, high) in enumerate(zip(problem.lower_bounds, problem.upper_bounds, strict=True)):
        name = f"x{index}"
        found.append(Integer(name, int(low), int(high)) if index < integers else Real(name, float(low), float(high)))
    return found


def _best_point(problem: Any) -> Any:
    """Return the point with the lowest loss. COCO tells it only in a file in the current folder."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        problem._best_parameter("print")
        (file,) = Path(folder).iterdir()
        return np.loadtxt(file)
