"""The objective of a parameter search.

The objective runs the fits of one candidate. The value of a trial is the mean test score. The study maximises the mean
test score.
"""

import json
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import ledger
from ledger.database.bounds import LONGEST_ERROR
from ledger.sklearn.distributions import Distributions
from ledger.sklearn.fit_file import SharedContent
from ledger.sklearn.fits import Fit
from ledger.sklearn.scores import from_metrics, mean_score, to_metrics
from ledger.text import last_line

# The ledger removes the middle of a long error text. Therefore the metrics of a failed candidate must be in the first
# half of the error text.
_LONGEST_TRACEBACKS = LONGEST_ERROR // 4
_RECORDED = re.compile(r"^cv_results (\{.*\})$", re.MULTILINE)


class FailedCandidateError(Exception):
    """The exception for a candidate without a finite mean test score. The message contains the candidate's metrics."""


class FatalFitError(Exception):
    """The exception for a fit that has raised a fatal exception. The search must end.

    The fatal exception would also end a search by scikit-learn's `RandomizedSearchCV`.

    The attribute `__cause__` is the fatal exception.
    """


@dataclass(frozen=True)
class CandidateFits:
    """The data that a worker needs to evaluate the candidates of a search: the fits, the search space and the scorer.

    Attributes
    ----------
    fits : sequence of Fit
        One fit for each split.
    distributions : Distributions
        The search space.
    scorer : str or None
        The name of the scorer whose mean score the search maximizes. If `scorer` is None, the search maximizes the mean
        score of the first scorer.
    """

    fits: Sequence[Fit]
    distributions: Distributions
    scorer: str | None

    def evaluate(self, params: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Fit a candidate on each split, and return the value and the metrics of the trial.

        Raises
        ------
        FailedCandidateError
            The mean test score is not finite.
        FatalFitError
            A fit raised an exception that scikit-learn does not replace by `error_score`.
        """
        # An estimator without a random state uses the global random generator. Without a fixed seed, two fits of the
        # same candidate could have different scores.
        random.seed(seed)
        np.random.seed(seed)
        candidate = self.distributions.decode(params)
        try:
            results = [fit.run(candidate) for fit in self.fits]
            score = mean_score(results, self.scorer)
        except Exception as error:
            raise FatalFitError(f"{type(error).__name__}: {error}") from error
        metrics = to_metrics(results, _LONGEST_TRACEBACKS // len(results))
        if not math.isfinite(score):
            raise FailedCandidateError(_failure(results, score, metrics))
        return {"value": score, **metrics}


def make_objective(name: str, digest: str, shared: SharedContent) -> Callable[..., Any]:
    """Return the objective function of a search.

    Parameters
    ----------
    name : str
        The name of the objective.
    digest : str
        The digest of the search. The ledger records the digest as the code of the objective.
    shared : SharedContent
        A `CandidateFits` object that the worker's process reads from a file.
    """

    def evaluate(params: dict[str, Any], context: "ledger.Context") -> dict[str, Any]:
        evaluated: dict[str, Any] = shared.value.evaluate(params, context.seed)
        return evaluated

    evaluate.__name__ = evaluate.__qualname__ = name
    evaluate.ledger_digest = digest  # type: ignore[attr-defined]
    space = {dimension.pop("name"): dimension for dimension in shared.value.distributions.space.to_json()}
    return ledger.objective(space=space)(evaluate)


def recorded_results(trial: "ledger.Trial", n_splits: int) -> list[dict[str, Any]] | None:
    """Return scikit-learn's result for each split of a trial, or None if the ledger has no results for the trial.

    For example, a trial has no results if the worker's process died, or if a user imported the trial.
    """
    try:
        if trial.state == "complete":
            return from_metrics(trial.metrics, n_splits)
        match = _RECORDED.search(trial.error or "")
        recorded = json.loads(match[1]) if match else {}
        return from_metrics(recorded, n_splits) if isinstance(recorded, dict) else None
    except (ValueError, RecursionError):
        return None


def has_ended_search(trial: "ledger.Trial") -> bool:
    """Return whether a fit of a failed trial raised an exception that scikit-learn does not replace by a score."""
    return f"{FatalFitError.__module__}.{FatalFitError.__qualname__}: " in (trial.error or "")


def _failure(results: Sequence[Mapping[str, Any]], score: float, metrics: Mapping[str, Any]) -> str:
    """Return the error message for a candidate without a finite mean score.

    The message contains the candidate's metrics.
    """
    recorded = f"\ncv_results {json.dumps(metrics)}\n"
    errors = [str(result["fit_error"]) for result in results if result["fit_error"] is not None]
    if not errors:
        return f"{recorded}the mean test score is {score}"
    first = errors[0]
    summary = f"{len(errors)} of {len(results)} fits failed; the first error is {last_line(first)}"
    return f"{recorded}{first[-_LONGEST_TRACEBACKS:]}\n{summary}"
