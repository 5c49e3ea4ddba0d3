"""The problems of the benchmark: the ones for tuning, and the ones for measuring."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmarks.public import boosting, coco, tables
from benchmarks.public.problem import Problem

# The class of a problem -> the kinds of its problems, which are the first parts of their names.
CLASSES = {
    "reals": ("bbob",),
    "mixed integers": ("bbob-mixint",),
    "noise": ("bbob-noisy",),
    "tables": tuple(tables.CLASSES),
    "XGBoost": (boosting.KIND,),
}
KINDS = tuple(kind for kinds in CLASSES.values() for kind in kinds)
# A function of COCO has one of these dimensions, in turn.
DIMENSIONS = {"bbob": (3, 5, 10, 20), "bbob-mixint": (5, 10), "bbob-noisy": (3, 5, 10)}
# Nothing is measured on these tables, on the instances 1 to 6 of COCO, and on the surrogates' tasks for tuning.
TUNING_TABLES = (
    *("hpobench/australian", "hpobench/kc1"),
    *("hpolib/naval_propulsion", "hpolib/protein_structure"),
    "nasbench201/cifar10",
)
MEASURING_TABLES = (
    *("hpobench/blood_transfusion", "hpobench/car", "hpobench/credit_g"),
    *("hpobench/phoneme", "hpobench/segment", "hpobench/vehicle"),
    *("hpolib/parkinsons_telemonitoring", "hpolib/slice_localization"),
    *("nasbench201/cifar100", "nasbench201/imagenet"),
)
# The numbers of boosting tasks, which are evenly spread over the tasks of the surrogate.
TUNING_TASKS, MEASURING_TASKS = 6, 10


def class_of(name: str) -> str:
    """Return the class of a problem."""
    kind = name.partition("/")[0]
    return next(title for title, kinds in CLASSES.items() if kind in kinds)


def measuring(yahpo: Path | None) -> list[str]:
    """Return the names of the problems for measuring. Without the folder of the surrogates, XGBoost is missing."""
    functions = {
        "bbob": range(1, 25),
        "bbob-mixint": range(1, 25, 2),
        "bbob-noisy": [101 + 7 * index % 30 for index in range(12)],
    }
    names = [
        _coco(suite, number, index, 7 + index % 9)
        for suite, numbers in functions.items()
        for index, number in enumerate(numbers)
    ]
    return [*names, *MEASURING_TABLES, *_tasks(yahpo, is_tuning=False)]


def tuning(yahpo: Path | None) -> list[str]:
    """Return the names of the problems for tuning."""
    functions = {
        "bbob": range(2, 25, 2),
        "bbob-mixint": range(2, 25, 4),
        "bbob-noisy": [102 + 7 * index % 30 for index in range(6)],
    }
    names = [
        _coco(suite, number, index + 1, 1 + index % 6)
        for suite, numbers in functions.items()
        for index, number in enumerate(numbers)
    ]
    return [*names, *TUNING_TABLES, *_tasks(yahpo, is_tuning=True)]


def load(name: str, seed: int, yahpo: Path | None) -> Problem:
    """Return a problem. The seed chooses among the trainings of a table."""
    kind = name.partition("/")[0]
    if kind in tables.CLASSES:
        return tables.load(name, seed)
    if kind == boosting.KIND:
        assert yahpo is not None
        return boosting.load(name, yahpo)
    return coco.load(name)


def _coco(suite: str, number: int, index: int, instance: int) -> str:
    dimensions = DIMENSIONS[suite]
    return f"{suite}/f{number}/d{dimensions[index % len(dimensions)]}/i{instance}"


@cache
def _tasks(yahpo: Path | None, *, is_tuning: bool) -> Sequence[str]:
    if yahpo is None:
        return ()
    surrogate = boosting.surrogates(yahpo)
    tasks, count = (surrogate.dev, TUNING_TASKS) if is_tuning else (surrogate.measuring, MEASURING_TASKS)
    return [f"{boosting.KIND}/{task}" for task in tasks[:: len(tasks) // count][:count]]
