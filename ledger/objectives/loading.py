"""Loads the objective of a study's spec. The loaded objective is a function that the trainer calls."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

from ledger.errors import LedgerError
from ledger.objectives import datasets, tabular
from ledger.objectives.command import CommandPermissions, load_command
from ledger.objectives.context import Context
from ledger.objectives.estimators import EstimatorBuilder, need_permission
from ledger.objectives.fitting import FittingObjective, ModelBuilder
from ledger.objectives.form import DatasetReference, TrainingSettings, read_form
from ledger.objectives.function import load_function
from ledger.objectives.result import ObjectiveResult, to_result
from ledger.objectives.tabular import DatasetArrays
from ledger.objectives.value_scale import DIRECTIONS, ValueScale, value_scale
from ledger.text import one_line


class LoadedObjective:
    """An objective that a trainer process has loaded, and that the trainer process calls for each trial.

    Parameters
    ----------
    function : callable
        Function that receives a trial's parameters and context, and returns a value or a dict.
    threads : int
        Number of threads that BLAS, OpenMP and the boosting libraries use, at least 1.
    scale : ValueScale, optional
        The relation between the returned value and the loss. By default, the loss is equal to the returned value.
    """

    def __init__(
        self, function: Callable[[dict[str, Any], Context], Any], threads: int, scale: ValueScale | None = None
    ) -> None:
        self._function, self._threads, self._scale = function, threads, scale or ValueScale()

    def __call__(self, params: Mapping[str, Any], context: Context) -> ObjectiveResult:
        """Evaluate a trial.

        Raises
        ------
        InvalidResultError
            The objective returned no valid result. The method does not catch the exceptions of the objective.
        """
        with _thread_pools(len(sys.modules)).limit(limits=self._threads):
            returned = self._function(as_floats(params), context)
        return to_result(returned, self._scale)

    def check(self, points: Sequence[Mapping[str, Any]], seed: int) -> None:
        """Raise a UsageError if every trial of the study would fail.

        The method checks only an objective that trains an estimator.

        Parameters
        ----------
        points : sequence of mapping
            Points of the search space, such as the points that `ledger.study.space.Space.extreme_points` returns.
        seed : int
            The study's seed.
        """
        if isinstance(self._function, FittingObjective):
            self._function.check(points, seed)

    def refit(self, params: Mapping[str, Any], seed: int) -> Any:
        """Train the estimator of the objective on all rows, and return the estimator.

        `FittingObjective.refit` describes the details.
        """
        assert isinstance(self._function, FittingObjective)
        with _thread_pools(len(sys.modules)).limit(limits=self._threads):
            return self._function.refit(as_floats(params), seed)

    @property
    def keeps_models(self) -> bool:
        """Whether the study keeps the model of its best trial."""
        return isinstance(self._function, FittingObjective) and self._function.keeps_models

    def keep_model(self, params: Mapping[str, Any], context: Context, result: ObjectiveResult) -> None:
        """Train the estimator on all rows, and save it as artifacts of the trial.

        `FittingObjective.keep_model` describes the details.
        """
        assert isinstance(self._function, FittingObjective)
        with _thread_pools(len(sys.modules)).limit(limits=self._threads):
            self._function.keep_model(as_floats(params), context, result)


def runs_users_code(objective: Mapping[str, Any]) -> bool:
    """Return whether a worker needs permission to run an objective.

    For example, a worker needs permission to run a command or a user's function.

    Examples
    --------
    >>> runs_users_code({"model": "svm"}), runs_users_code({"estimator": "sklearn.svm:SVC"})
    (False, False)
    >>> runs_users_code({"function": "own.code:loss"}), runs_users_code({"estimator": "own.code:Model"})
    (True, True)
    """
    # A database role that can create studies can write any JSON value as an objective.
    try:
        return "function" in objective or "command" in objective or need_permission(read_form(objective).steps)
    except LedgerError:
        return False


def load(
    objective: Mapping[str, Any],
    allowed: Collection[str],
    *,
    threads: int = 1,
    contents: Sequence[bytes] = (),
    folder: str | None = None,
    permissions: CommandPermissions | None = None,
) -> LoadedObjective:
    """Load an objective.

    Parameters
    ----------
    objective : mapping
        The objective in a study's spec. The entry ``"function"`` names a user's function in the form
        ``"package.module:function"``. The entry ``"command"`` is a list with a program and its arguments. The optional
        entry ``"params_as"`` is one of `command_template.PARAMS_AS`. An objective with the entry ``"function"`` or
        ``"command"`` may also have the entry ``"direction"``. An objective that trains an estimator contains exactly
        one of the entries ``"model"``, ``"estimator"`` and ``"steps"``. The entry ``"model"`` is the name of a built-in
        model. The entry ``"estimator"`` is a reference such as ``"sklearn.svm:SVC"``. The entry ``"steps"`` is a list
        of pairs, and each pair consists of a name and a reference. The optional entry ``"dataset"`` names a dataset of
        scikit-learn, and is ``"breast_cancer"`` by default. If the dataset comes from a file, the entry ``"data"``
        replaces ``"dataset"``. `ledger.objectives.form` describes all further entries of an objective.
    allowed : collection of str
        Packages whose functions and estimators this worker may run. A worker may always run a built-in model, and the
        estimators of scikit-learn, XGBoost and LightGBM.
    threads : int
        Number of threads that BLAS, OpenMP and the boosting libraries use, at least 1.
    contents : sequence of bytes
        Contents of the files in the entry ``"data"``.
    folder : str, optional
        Additional folder that contains the module of an allowed function. Python searches this folder after all other
        folders.
    permissions : CommandPermissions, optional
        The allowed commands. By default, no command is allowed.

    Raises
    ------
    LedgerError
        The objective is unknown, is not allowed or cannot be imported. The function also raises LedgerError if
        `contents` differs from the study's files. The message is one line.

    Examples
    --------
    >>> evaluate = load({"model": "svm", "dataset": "iris"}, allowed=())
    >>> result = evaluate({"C": 1.0}, Context(study="s", trial=0, attempt=1, seed=7, study_seed=1))
    >>> result.loss == 1 - result.metrics["accuracy"]
    True
    """
    keys = {"function", "direction", "record_source"}
    if "function" in objective and set(objective) <= keys and objective.get("direction", "minimize") in DIRECTIONS:
        function = load_function(str(objective["function"]), allowed, folder)
        return LoadedObjective(function, threads, value_scale(objective))
    if "command" in objective:
        return LoadedObjective(
            load_command(objective, permissions or CommandPermissions()), threads, value_scale(objective)
        )
    form = read_form(objective)
    builder = load_builder(form, allowed, folder)
    return LoadedObjective(FittingObjective(form, load_dataset(form, contents), builder, threads), threads)


def load_builder(
    form: TrainingSettings, allowed: Collection[str], folder: str | None = None
) -> ModelBuilder | EstimatorBuilder:
    """Return the object that creates the estimators of an objective.

    The docstring of `load` describes the parameters and the errors.
    """
    params = as_floats(form.params)
    if form.model is None:
        return EstimatorBuilder(form.steps, params, allowed, folder)
    return ModelBuilder(form.model, form.task, params)


def load_dataset(form: TrainingSettings, contents: Sequence[bytes]) -> DatasetArrays:
    """Return the dataset of an objective. The docstring of `load` describes the parameter `contents` and the errors."""
    if form.data is None:
        assert form.dataset is not None
        return datasets.load(form.dataset)
    _check_contents(form.data, contents)
    file, holdout = form.data.file, form.data.holdout
    table = tabular.read(contents[0], file.format, form.data.roles, file.name, form.task)
    if holdout is None:
        return table
    assert table.encoding is not None
    return replace(table, holdout=tabular.read_holdout(contents[1], holdout.format, table.encoding, holdout.name))


def _check_contents(data: DatasetReference, contents: Sequence[bytes]) -> None:
    for index, file in enumerate(data.files):
        if index >= len(contents) or tabular.digest(contents[index]) != file.sha256:
            raise LedgerError(
                f"the worker's copy of dataset {one_line(file.name)} does not have the SHA-256 that the study has"
                f" recorded ({file.sha256}): wait until the worker has fetched the dataset again, or restart the worker"
            )


@lru_cache(maxsize=1)
def _thread_pools(_modules: int) -> ThreadpoolController:
    """Find the loaded libraries that have thread pools.

    The creation of a `ThreadpoolController` is slow, because the constructor reads the memory map of the process.
    Therefore `_thread_pools` creates a new `ThreadpoolController` only after the process has imported another module.
    """
    return ThreadpoolController()


def as_floats(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a trial. Each integer of more than 64 bits is converted to a float."""
    return {name: _as_float(value) for name, value in params.items()}


def _as_float(value: Any) -> Any:
    # PostgreSQL's jsonb returns the float 1e300 as an integer of about 300 digits. The value of an integer parameter
    # has at most 64 bits. Therefore an integer of more than 64 bits must be the value of a float parameter. XGBoost
    # would accept an integer of more than 64 bits, but would train with another value.
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value
