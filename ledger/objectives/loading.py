"""From a study's objective, as its row holds it, to what a worker's trainer calls."""

import sys
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

from ledger.errors import LedgerError
from ledger.objectives import builtin, metrics, tabular
from ledger.objectives.context import Context
from ledger.objectives.datasets import DATASETS
from ledger.objectives.function import load_function
from ledger.objectives.parameters import MODELS
from ledger.objectives.result import Result, to_result
from ledger.objectives.tabular import Table
from ledger.text import one_line


def load(
    objective: Mapping[str, Any], allowed: Collection[str], *, threads: int = 1, content: bytes | None = None
) -> Callable[[dict[str, Any], Context], Result]:
    """Load an objective.

    Parameters
    ----------
    objective : mapping
        ``{"model": "svm", "dataset": "breast_cancer"}`` (the dataset may be left out, this is the default), with
        ``"data": {"name", "sha256", "target", "format", "rows"}`` in place of the dataset for a file's, and with
        ``"cv"`` and ``"metric"`` where they are asked for; or ``{"function": "package.module:function"}``.
    allowed : collection of str
        The packages whose functions this worker may run; the built-in models need none.
    threads : int
        How many threads BLAS, OpenMP and the boosters may use, at least 1.
    content : bytes, optional
        Of the file that ``"data"`` names.

    Returns
    -------
    callable
        Takes a trial's parameters and its context. Raises ObjectiveError if the objective returned no result, and
        lets whatever the objective raises pass.

    Raises
    ------
    LedgerError
        The objective is unknown, not allowed or not importable, or the data are not what they should be. One line.
    """
    function: Callable[[dict[str, Any], Context], Any]
    if set(objective) == {"function"}:
        function = load_function(str(objective["function"]), allowed)
    else:
        model, dataset, data = objective.get("model"), objective.get("dataset", DATASETS[0]), objective.get("data")
        metric, folds = objective.get("metric", metrics.DEFAULT), objective.get("cv")
        known = set(objective) <= {"model", "data" if data else "dataset", "metric", "cv"} and metric in metrics.USABLE
        if not known or model not in MODELS or dataset not in DATASETS:
            raise LedgerError(
                f"this version knows no objective {dict(objective)!r}; it knows a model of {', '.join(MODELS)} with a "
                f"dataset of {', '.join(DATASETS)} or a file's, or a function"
            )
        function = builtin.objective(
            model, _table(data, content) if data else dataset, threads, metric=metric, folds=folds
        )

    def evaluate(params: dict[str, Any], context: Context) -> Result:
        with _thread_pools(len(sys.modules)).limit(limits=threads):
            returned = function({name: _as_real(value) for name, value in params.items()}, context)
        return to_result(returned)

    return evaluate


def _table(data: Mapping[str, Any], content: bytes | None) -> Table:
    if content is None or tabular.digest(content) != data["sha256"]:
        raise LedgerError(
            f"dataset {one_line(data['name'])} came here with another SHA-256 than the study's ({data['sha256']}):"
            " start this worker again, which fetches it anew"
        )
    return tabular.read(content, data["format"], data["target"], data["name"])


@lru_cache(maxsize=1)
def _thread_pools(_modules: int) -> ThreadpoolController:
    """Find the libraries that have threads; anew only where modules were imported: it reads all that is mapped."""
    return ThreadpoolController()


def _as_real(value: Any) -> Any:
    # jsonb writes 1e300 as three hundred digits. No integer dimension reaches beyond 64 bits, so it was a real one;
    # XGBoost trains on a garbled number rather than refuse the digits.
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value
