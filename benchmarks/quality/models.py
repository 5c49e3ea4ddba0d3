"""The built-in models as objectives: their default spaces, on five datasets that need no network."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ledger import seeds
from ledger.objectives import DEFAULT_SPACES, MODELS, Context, datasets
from ledger.objectives.fitting import FittingObjective, ModelBuilder
from ledger.objectives.form import read_form
from ledger.objectives.loading import LoadedObjective
from ledger.objectives.splits import split
from ledger.objectives.tasks import CLASSIFICATION
from ledger.study.dimensions import Dimension
from ledger.study.space import Space

SYNTHETIC = "synthetic"


def _synthetic() -> Any:
    from sklearn.datasets import make_classification

    return make_classification(
        n_samples=600, n_features=20, n_informative=8, n_classes=3, flip_y=0.05, class_sep=0.8, random_state=0
    )


# the fifth dataset has overlapping classes and useless features
datasets.LOADERS[SYNTHETIC] = _synthetic
datasets.CLASSES[SYNTHETIC] = 3
DATASETS = (*(name for name in datasets.DATASETS if datasets.task_of(name) == CLASSIFICATION), SYNTHETIC)
NAMES = tuple(f"{model}/{dataset}" for model in MODELS for dataset in DATASETS)


def dimensions(name: str) -> tuple[Dimension, ...]:
    return Space.from_toml(DEFAULT_SPACES[name.partition("/")[0]]).dimensions


def objective(name: str, seed: int) -> Callable[[Mapping[str, Any], int], float]:
    """Return a function of parameters and a trial number, which trains and returns the loss, for a study's seed."""
    model, _, dataset = name.partition("/")
    return partial(_loss, _train(model, dataset), name, seed)


def _train(model: str, dataset: str) -> Callable[[dict[str, Any], Context], Any]:
    form = replace(read_form({"model": model}), dataset=dataset)
    builder = ModelBuilder(model, form.task, {})
    return LoadedObjective(FittingObjective(form, datasets.load(dataset), builder, 1), 1)


def _loss(train: Any, name: str, seed: int, params: Mapping[str, Any], trial: int) -> float:
    context = Context(name, trial, 1, seeds.derive(seed, "trial", trial), seed)
    return float(train(dict(params), context).loss)


def step(name: str, seed: int) -> float:
    """Return the loss of one test row, the smallest possible difference."""
    return 1.0 / len(split(datasets.load(name.partition("/")[2]), seed)[1].targets)
