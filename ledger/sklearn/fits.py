"""The fits that scikit-learn passes to joblib during a search.

For each candidate and each split, `BaseSearchCV.fit` passes a function call to joblib. The joblib backend of this
module collects the function calls, so that the ledger's workers can run the calls. When scikit-learn later passes equal
function calls to joblib, the backend returns the results from the ledger. Therefore scikit-learn itself reads all
arguments of a search, splits the data, and computes `cv_results_`. This module does not copy any code of scikit-learn.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from joblib.parallel import ParallelBackendBase
from sklearn.base import clone


@dataclass(frozen=True)
class Fit:
    """The function and the arguments with which `run` fits and scores an estimator on one split of the data.

    Attributes
    ----------
    function : callable
        The function of scikit-learn that fits and scores the estimator.
    arguments : tuple
        The positional arguments of the function. The first argument is the unfitted estimator.
    keywords : mapping
        The keyword arguments of the function, without the candidate's parameters.
    """

    function: Callable[..., Mapping[str, Any]]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]

    def run(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fit and score the estimator with a candidate's parameters, and return scikit-learn's result."""
        estimator, *data = self.arguments
        return self.function(clone(estimator), *data, **self.keywords, parameters=params)


class _CallsCollectedError(Exception):
    """An exception that ends a call of scikit-learn after the backend has collected the fits of one candidate."""


class FitBackend(ParallelBackendBase):  # type: ignore[misc]
    """A joblib backend that collects fits, or returns the recorded results of fits. The backend runs no fit.

    Parameters
    ----------
    search : estimator
        The search that uses the backend. The collected fits do not contain the search.
    """

    supports_retrieve_callback = True

    def __init__(self, search: Any) -> None:
        super().__init__(nesting_level=0)
        self._search = search
        self._missing = 0
        self._collected: list[Fit] = []
        self._results: Iterator[Mapping[str, Any]] = iter(())

    def collect(self, evaluate_candidates: Callable[..., Any], n_splits: int) -> list[Fit]:
        """Collect and return one `Fit` object for each split.

        Parameters
        ----------
        evaluate_candidates : callable
            The function that `BaseSearchCV` passes to `_run_search`.
        n_splits : int
            The number of splits.
        """
        self._missing, self._collected = n_splits, []
        with suppress(_CallsCollectedError):
            evaluate_candidates([{}])
        return self._collected

    def answer(
        self,
        evaluate_candidates: Callable[..., Any],
        candidates: Sequence[Mapping[str, Any]],
        results: Iterable[Mapping[str, Any]],
    ) -> None:
        """Pass candidates and the results of their fits to scikit-learn.

        Parameters
        ----------
        evaluate_candidates : callable
            The function that `BaseSearchCV` passes to `_run_search`.
        candidates : sequence of mapping
            The parameters of each candidate.
        results : iterable of mapping
            The result of each fit. The results are ordered by candidate. The results of a candidate are ordered by
            split.
        """
        self._results = iter(results)
        evaluate_candidates(candidates)

    # joblib calls the methods below.

    def effective_n_jobs(self, n_jobs: int | None) -> int:  # noqa: ARG002
        # With one job, joblib itself would run the fits, and would not call `submit`.
        return 2

    def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
        ((function, arguments, keywords),) = func.items
        if self._missing == 0:
            result = next(self._results)
            callback(result)
            return result
        # scikit-learn passes the search as an argument for callbacks, but `LedgerSearchCV` does not support callbacks.
        # The search may contain a password, and the workers do not need the search.
        kept = {
            name: None if value is self._search else value for name, value in keywords.items() if name != "parameters"
        }
        self._collected.append(Fit(function, arguments, kept))
        self._missing -= 1
        if self._missing == 0:
            callback(None)
        return None

    def retrieve_result_callback(self, out: Any) -> list[Any]:
        if out is None:
            raise _CallsCollectedError
        return [out]
