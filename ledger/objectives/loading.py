"""Loads the objective that a study's spec names. The loaded objective is a function that the trainer calls."""

import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

from ledger.errors import LedgerError
from ledger.objectives import builtin, metrics, tabular
from ledger.objectives.command import CommandHost, load_command
from ledger.objectives.context import Context
from ledger.objectives.datasets import DATASETS, MOST_FOLDS
from ledger.objectives.function import load_function
from ledger.objectives.parameters import MODELS
from ledger.objectives.result import ObjectiveResult, to_result
from ledger.objectives.tabular import DatasetArrays
from ledger.objectives.value_scale import DIRECTIONS, ValueScale, value_scale
from ledger.text import one_line, show

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class DatasetReference:
    """Names the stored data file on which a model trains, as the key "data" of a spec's objective.

    Attributes
    ----------
    name : str
        The name of the file without its folder.
    sha256 : str
        The SHA-256 of the file's content, in 64 hexadecimal digits.
    target : str
        Name of the column that contains the class of each row.
    format : str
        The format of the file, "csv" or "parquet".
    """

    name: str
    sha256: str
    target: str
    format: str


def dataset_reference(objective: object) -> DatasetReference | None:
    """Return the entry "data" of an objective, or None if the objective has no such entry.

    A role that can create studies can write any JSON value as an objective, so this function accepts any value.

    Raises
    ------
    LedgerError
        The objective is not a mapping, or its entry "data" is malformed. The message is one line.

    Examples
    --------
    >>> dataset_reference({"model": "svm", "dataset": "iris"})
    >>> dataset_reference({"model": "svm", "data": 5})
    Traceback (most recent call last):
    ledger.errors.LedgerError: the study's objective is malformed, because the value of "data" is 5: delete the study
    """
    if not isinstance(objective, Mapping):
        raise LedgerError(f"the study's objective is malformed, because it is {show(objective)}: delete the study")
    if "data" not in objective:
        return None
    data = objective["data"]
    if isinstance(data, Mapping):
        texts = [data.get(key) for key in ("name", "sha256", "target", "format")]
        if all(isinstance(text, str) for text in texts):
            entry = DatasetReference(*map(str, texts))
            if _SHA256.fullmatch(entry.sha256) and entry.format in tabular.FORMATS.values():
                return entry
    raise LedgerError(
        f'the study\'s objective is malformed, because the value of "data" is {show(data)}: delete the study'
    )


def load(
    objective: Mapping[str, Any],
    allowed: Collection[str],
    *,
    threads: int = 1,
    content: bytes | None = None,
    folder: str | None = None,
    host: CommandHost | None = None,
) -> Callable[[dict[str, Any], Context], ObjectiveResult]:
    """Load an objective.

    Parameters
    ----------
    objective : mapping
        The mapping names a user's function, a command or a built-in model. The entry ``"function"`` has the form
        ``"package.module:function"``. The entry ``"command"`` is a list with a program and its arguments, and the
        optional entry ``"params_as"`` is one of `command_template.PARAMS_AS`. For a function or a command, the mapping
        may also have the entry ``"direction"``. The entry ``"model"`` is the name of a built-in model. The optional
        entry ``"dataset"`` names a dataset for the model, and is ``"breast_cancer"`` by default. If the dataset comes
        from a file, the entry ``"data"`` replaces ``"dataset"``. The value of ``"data"`` is a mapping with the keys
        ``"name"``, ``"sha256"``, ``"target"``, ``"format"`` and ``"rows"``. For a model, the mapping may also have the
        entries ``"cv"`` and ``"metric"``.
    allowed : collection of str
        Packages whose functions this worker may run. A worker may always run a built-in model.
    threads : int
        Number of threads that BLAS, OpenMP and the boosting libraries use, at least 1.
    content : bytes, optional
        Content of the file that ``"data"`` names.
    folder : str, optional
        Additional folder for the module of an allowed function. Python searches this folder last.
    host : CommandHost, optional
        Permissions and resources for commands. By default, no command is allowed.

    Returns
    -------
    callable
        Function that takes a trial's parameters and context, and returns an `ObjectiveResult`. The function raises an
        InvalidResultError if the objective returns no valid result. The returned function does not catch the exceptions
        of the objective.

    Raises
    ------
    LedgerError
        The objective is unknown, not allowed or not importable, or `content` is not the dataset of the study. The
        message is one line.

    Examples
    --------
    >>> evaluate = load({"model": "svm", "dataset": "iris"}, allowed=())
    >>> result = evaluate({"C": 1.0}, Context(study="s", trial=0, attempt=1, seed=7, study_seed=1))
    >>> result.loss == 1 - result.metrics["accuracy"]
    True
    """
    function: Callable[[dict[str, Any], Context], Any]
    scale = ValueScale()
    if set(objective) - {"direction"} == {"function"} and objective.get("direction", "minimize") in DIRECTIONS:
        scale = value_scale(objective)
        function = load_function(str(objective["function"]), allowed, folder)
    elif "command" in objective:
        scale = value_scale(objective)
        function = load_command(objective, host or CommandHost())
    else:
        data = dataset_reference(objective)
        model, dataset = objective.get("model"), objective.get("dataset", DATASETS[0])
        metric, folds = objective.get("metric", metrics.DEFAULT), objective.get("cv")
        if not (
            set(objective) <= {"model", "data" if data else "dataset", "metric", "cv"}
            and all(isinstance(text, str) for text in (model, dataset, metric))
            and model in MODELS
            and dataset in DATASETS
            and metric in metrics.USABLE
            and (folds is None or (type(folds) is int and 2 <= folds <= MOST_FOLDS))
        ):
            raise LedgerError(
                f"this version of the ledger has no objective {one_line(repr(dict(objective)))}; use a function, a"
                f" command, or one of the models {', '.join(MODELS)} with a file or with one of the datasets"
                f" {', '.join(DATASETS)}"
            )
        function = builtin.objective(
            model, _table(data, content) if data else dataset, threads, metric=metric, folds=folds
        )

    def evaluate(params: dict[str, Any], context: Context) -> ObjectiveResult:
        with _thread_pools(len(sys.modules)).limit(limits=threads):
            returned = function({name: _as_float(value) for name, value in params.items()}, context)
        return to_result(returned, scale)

    return evaluate


def _table(data: DatasetReference, content: bytes | None) -> DatasetArrays:
    if content is None or tabular.digest(content) != data.sha256:
        raise LedgerError(
            f"the worker's copy of dataset {one_line(data.name)} does not have the SHA-256 that the study has"
            f" recorded ({data.sha256}): wait until the worker has fetched the dataset again, or restart the worker"
        )
    return tabular.read(content, data.format, data.target, data.name)


@lru_cache(maxsize=1)
def _thread_pools(_modules: int) -> ThreadpoolController:
    """Find the loaded libraries that have thread pools.

    The creation of a `ThreadpoolController` is slow, because the constructor reads the memory map of the process.
    Therefore `_thread_pools` creates a new `ThreadpoolController` only after the process has imported another module.
    """
    return ThreadpoolController()


def _as_float(value: Any) -> Any:
    # PostgreSQL's jsonb returns the float 1e300 as an integer of about 300 digits. The value of an integer parameter
    # has at most 64 bits, so a longer integer must be the value of a float parameter. XGBoost would accept an integer
    # of more than 64 bits, but would train with a different number.
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value
