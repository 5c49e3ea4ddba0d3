"""From a study's objective, as its row holds it, to what a worker's trainer calls."""

import sys
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

from ledger.errors import LedgerError
from ledger.objectives import builtin
from ledger.objectives.context import Context
from ledger.objectives.datasets import DATASETS
from ledger.objectives.function import load_function
from ledger.objectives.parameters import MODELS
from ledger.objectives.result import Result, to_result


def load(
    objective: Mapping[str, Any], allowed: Collection[str], *, threads: int = 1
) -> Callable[[dict[str, Any], Context], Result]:
    """Load an objective.

    Parameters
    ----------
    objective : mapping
        ``{"model": "svm", "dataset": "breast_cancer"}`` (the dataset may be left out, this is the default), or
        ``{"function": "package.module:function"}``.
    allowed : collection of str
        The packages whose functions this worker may run; the built-in models need none.
    threads : int
        How many threads BLAS, OpenMP and the boosters may use, at least 1.

    Returns
    -------
    callable
        Takes a trial's parameters and its context. Raises ObjectiveError if the objective returned no result, and
        lets whatever the objective raises pass.

    Raises
    ------
    LedgerError
        The objective is unknown, not allowed or not importable. One line.
    """
    function: Callable[[dict[str, Any], Context], Any]
    if set(objective) == {"function"}:
        function = load_function(str(objective["function"]), allowed)
    else:
        model, dataset = objective.get("model"), objective.get("dataset", DATASETS[0])
        if not set(objective) <= {"model", "dataset"} or model not in MODELS or dataset not in DATASETS:
            raise LedgerError(
                f"this version knows no objective {dict(objective)!r}; it knows a model of {', '.join(MODELS)} with a "
                f"dataset of {', '.join(DATASETS)}, or a function"
            )
        function = builtin.objective(model, dataset, threads)

    def evaluate(params: dict[str, Any], context: Context) -> Result:
        with _thread_pools(len(sys.modules)).limit(limits=threads):
            returned = function({name: _as_real(value) for name, value in params.items()}, context)
        return to_result(returned)

    return evaluate


@lru_cache(maxsize=1)
def _thread_pools(_modules: int) -> ThreadpoolController:
    """Find the libraries that have threads; anew only where modules were imported: it reads all that is mapped."""
    return ThreadpoolController()


def _as_real(value: Any) -> Any:
    # jsonb writes 1e300 as three hundred digits. No integer dimension reaches beyond 64 bits, so it was a real one;
    # XGBoost trains on a garbled number rather than refuse the digits.
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value
