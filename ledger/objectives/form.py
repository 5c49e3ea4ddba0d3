"""Parsers and checks of objectives that train an estimator.

A database role with the permission to create studies can write any JSON value as an objective. If an objective is
malformed, this module raises an error with a one-line message.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.errors import LedgerError, UsageError
from ledger.objectives import estimators, metrics, tabular
from ledger.objectives.datasets import DATASETS, MOST_FOLDS, task_of
from ledger.objectives.parameters import MODELS
from ledger.objectives.table_columns import ColumnRoles
from ledger.objectives.tasks import CLASSIFICATION, TASKS
from ledger.text import one_line, show

MOST_REPEATS = 100
# A possible value of the objective's key "class_weights". With the value "balanced", the weight of a class is inversely
# proportional to the class's share of the rows.
BALANCED = "balanced"
_SHA256 = re.compile("[0-9a-f]{64}")
_COLUMNS = ("group_column", "time_column", "weight_column")
_KEYS = frozenset(
    (
        *("model", "estimator", "steps", "params", "dataset", "data", "task", "metric", "cv", "repeats"),
        *("class_weights", "record_source", "keep_models"),
    )
)


@dataclass(frozen=True)
class FileReference:
    """A reference to a data file that the ledger stores. The reference contains the file's name, SHA-256 and format.

    Attributes
    ----------
    name : str
        The name of the file without its folder.
    sha256 : str
        The SHA-256 of the file's content, in 64 hexadecimal digits.
    format : str
        The format of the file, "csv" or "parquet".
    """

    name: str
    sha256: str
    format: str


@dataclass(frozen=True)
class DatasetReference:
    """A reference to the dataset of an objective: the references to the data files, and the roles of the columns.

    In a study's spec, the key "data" of the objective contains the references.

    Attributes
    ----------
    file : FileReference
        The file with the training rows.
    holdout : FileReference or None
        The hold-out file. The objective scores the model on the rows of the hold-out file. If `holdout` is None, the
        objective scores the model on a part of the rows of the training file.
    roles : ColumnRoles
        The names of the columns that are not features.
    """

    file: FileReference
    holdout: FileReference | None
    roles: ColumnRoles

    @property
    def files(self) -> tuple[FileReference, ...]:
        """All files. A worker passes the contents of the files to the trainer in the order of `files`."""
        return (self.file,) if self.holdout is None else (self.file, self.holdout)


@dataclass(frozen=True)
class TrainingSettings:
    """The validated settings of an objective that trains an estimator. Examples of settings are the model, the dataset
    and the metric.

    Attributes
    ----------
    model : str or None
        The name of a model in `MODELS`, or None if `steps` contains the references of the estimators.
    steps : tuple of (str, str)
        A pair for each step of the estimator: the name and the reference of the step. If the estimator has no named
        steps, `steps` has one pair, and the name of the step is "".
    params : mapping
        The parameters that have the same values in all trials.
    dataset : str or None
        The name of a dataset in `DATASETS`, or None if the data are in a data file.
    data : DatasetReference or None
        The references to the data files.
    task, metric : str
    folds : int or None
        Number of folds of each cross-validation.
    repeats : int
        Number of cross-validations in each trial.
    class_weights : str, mapping or None
        The value `BALANCED`, or a mapping from the name of each class to the weight of the class.
    keeps_models : bool
        Whether the study keeps the model of its best trial.
    """

    model: str | None
    steps: tuple[tuple[str, str], ...]
    params: Mapping[str, Any]
    dataset: str | None
    data: DatasetReference | None
    task: str
    metric: str
    folds: int | None
    repeats: int
    class_weights: str | Mapping[str, float] | None
    keeps_models: bool = False


def dataset_reference(objective: object) -> DatasetReference | None:
    """Return the value of the key "data" of an objective, or None if the objective does not have the key "data".

    Raises
    ------
    LedgerError
        The objective is not a mapping, or the value of the key "data" is malformed. The message is one line.

    Examples
    --------
    >>> dataset_reference({"model": "svm", "dataset": "iris"})
    >>> dataset_reference({"model": "svm", "data": 5})
    Traceback (most recent call last):
    ledger.errors.LedgerError: the study's objective is malformed, because the value of "data" is 5: delete the study
    """
    if not isinstance(objective, Mapping):
        raise LedgerError(f"the study's objective is malformed ({show(objective)}): delete the study")
    if "data" not in objective:
        return None
    data = objective["data"]
    if isinstance(data, Mapping):
        columns = [data.get(key) for key in _COLUMNS if key in data]
        file, target = _file(data), data.get("target_column")
        holdout = _file(data["holdout"]) if "holdout" in data else None
        if (
            isinstance(target, str)
            and all(isinstance(column, str) for column in columns)
            and file is not None
            and ("holdout" not in data or holdout is not None)
        ):
            roles = ColumnRoles(target, *(data.get(key) for key in _COLUMNS))
            return DatasetReference(file, holdout, roles)
    raise LedgerError(
        f'the study\'s objective is malformed, because the value of "data" is {show(data)}: delete the study'
    )


def read_form(objective: Mapping[str, Any]) -> TrainingSettings:
    """Return the validated settings of an objective that trains an estimator.

    Raises
    ------
    LedgerError
        The objective is malformed. The message is one line.

    Examples
    --------
    >>> form = read_form({"model": "svm", "cv": 5})
    >>> form.model, form.dataset, form.task, form.metric, form.folds
    ('svm', 'breast_cancer', 'classification', 'accuracy', 5)
    """
    data = dataset_reference(objective)
    task = objective.get("task", CLASSIFICATION)
    dataset = None if data is not None else objective.get("dataset", DATASETS[0])
    steps = _steps(objective)
    model, folds, repeats = objective.get("model"), objective.get("cv"), objective.get("repeats", 1)
    params, weights = objective.get("params", {}), objective.get("class_weights")
    if not (
        set(objective) <= _KEYS
        and not {"data", "dataset"} <= set(objective)
        and (data is not None or (isinstance(dataset, str) and dataset in DATASETS))
        and steps is not None
        and (bool(steps) != ("model" in objective))
        and (bool(steps) or (isinstance(model, str) and model in MODELS))
        and isinstance(task, str)
        and task in TASKS
        and (dataset is None or task_of(dataset) == task)
        and isinstance(metric := objective.get("metric", metrics.DEFAULTS[task]), str)
        and metric in metrics.USABLE[task]
        and (folds is None or (type(folds) is int and 2 <= folds <= MOST_FOLDS))
        and type(repeats) is int
        and 1 <= repeats <= MOST_REPEATS
        and isinstance(params, Mapping)
        and (weights is None or are_class_weights(weights))
        and objective.get("keep_models", "best") == "best"
    ):
        raise LedgerError(
            f"this version of the ledger has no objective {one_line(repr(dict(objective)))}; use a function, a"
            f" command, an estimator, or one of the models {', '.join(MODELS)} with a file or with one of the datasets"
            f" {', '.join(DATASETS)}"
        )
    keeps_models = "keep_models" in objective
    return TrainingSettings(model, steps, params, dataset, data, task, metric, folds, repeats, weights, keeps_models)


def _file(data: object) -> FileReference | None:
    if isinstance(data, Mapping):
        texts = [data.get(key) for key in ("name", "sha256", "format")]
        if all(isinstance(text, str) for text in texts):
            file = FileReference(*map(str, texts))
            if _SHA256.fullmatch(file.sha256) and file.format in tabular.FORMATS.values():
                return file
    return None


def _steps(objective: Mapping[str, Any]) -> tuple[tuple[str, str], ...] | None:
    """Return the steps of an objective.

    The function returns an empty tuple if the objective has a built-in model, and None if the steps are malformed.
    """
    if "estimator" in objective and "steps" in objective:
        return None
    steps = objective.get("steps", [])
    if not isinstance(steps, list) or not all(
        isinstance(step, list) and len(step) == 2 and all(isinstance(text, str) for text in step) for step in steps
    ):
        return None
    try:
        if "steps" in objective:
            estimators.check_steps(steps)
        if "estimator" in objective:
            steps = [("", objective["estimator"])]
            if not isinstance(objective["estimator"], str):
                return None
            estimators.check_reference(objective["estimator"])
    except UsageError:
        return None
    return tuple((name, reference) for name, reference in steps)


def are_class_weights(weights: object) -> bool:
    """Return whether `weights` is either `BALANCED` or a mapping from texts to positive numbers.

    Examples
    --------
    >>> are_class_weights("balanced"), are_class_weights({"no": 0.5}), are_class_weights({"no": 0})
    (True, True, False)
    """
    if weights == BALANCED:
        return True
    return isinstance(weights, Mapping) and all(
        isinstance(name, str) and type(weight) in (int, float) and 0 < weight <= sys.float_info.max
        for name, weight in weights.items()
    )
