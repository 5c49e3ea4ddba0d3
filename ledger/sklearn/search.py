"""`LedgerSearchCV`, which uses the ledger to find the best parameters of an estimator."""

import numbers
import os
import re
import tempfile
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state

import ledger
from ledger.keywords import known_keywords
from ledger.objectives.reporting import INSIDE
from ledger.sklearn.digest import digest
from ledger.sklearn.distributions import read_distributions
from ledger.sklearn.fit_file import SharedContent
from ledger.sklearn.fits import FitBackend
from ledger.sklearn.objective import CandidateFits, has_ended_search, make_objective, recorded_results
from ledger.sklearn.scores import failed_fits
from ledger.text import last_line

# The default seed of a search. The search uses this seed if the user has not set `random_state`. Because the default
# seed never changes, a new call of `fit` can continue an interrupted search.
_SEED = 42
# The default name of a study contains the first `_HASH_LENGTH` hexadecimal digits of a hash.
_HASH_LENGTH = 12


class LedgerSearchCV(BaseSearchCV):  # type: ignore[misc]
    """A scikit-learn class that finds the best parameters of an estimator by cross-validation. Each search is a study
    in the ledger.

    The class has the interface of scikit-learn's `RandomizedSearchCV`. The optimizer of the ledger proposes the
    candidates, and worker processes on this machine fit the candidates. Each candidate is a trial of a study. The names
    of a trial's metrics are the names of columns in `cv_results_`, such as ``split0_test_score``. The value of a trial
    is the mean test score, which the study maximises.

    If a program ends during `fit`, a new call of `fit` with equal data and equal settings continues the study. A call
    of `fit` after the end of the study reads the results from the ledger, and fits only `best_estimator_` again.

    Parameters
    ----------
    estimator : estimator
        The estimator, such as a classifier, a regressor or a pipeline.
    param_distributions : dict
        The search space, as a dict that maps the name of each parameter to the values of the parameter. In a pipeline,
        the name of a parameter has the form ``step__parameter``. The user can write the values in six ways.

        - ``["rbf", "linear"]`` is a list of choices. A choice can be any object, such as None or an estimator. A
          one-dimensional numpy array is also a list of choices.
        - A call of ``scipy.stats.uniform``, ``loguniform`` or ``randint`` is a range of numbers.
        - ``(0.0, 1.0)`` is a range of real numbers. The range includes both ends.
        - ``(1, 10)`` is a range of integers. The range includes both ends.
        - ``(1e-3, 1e3, "log-uniform")`` is a range of real numbers with a log-uniform prior.
        - ``skopt.space.Real``, ``Integer`` or ``Categorical`` is a dimension of scikit-optimize.
    n_trials : int
        The number of candidates, from 1 to 1,000,000. If the space has fewer than `n_trials` points, each point of the
        space is a candidate.
    cv : int, cross-validation generator or iterable, optional
        The splits of the data. The parameter has the same meaning as the parameter `cv` of `RandomizedSearchCV`. The
        default is 5 folds. If a cross-validation generator shuffles the data, its `random_state` must be an integer.
        Otherwise, an interrupted search cannot continue.
    scoring : str, callable, list, tuple or dict, optional
        The scorers. The parameter has the same meaning as the parameter `scoring` of `RandomizedSearchCV`. By default,
        the search uses the estimator's method `score`.
    refit : bool, str or callable
        Whether `fit` fits `best_estimator_` on all data. The class `RandomizedSearchCV` also has the parameter `refit`.
        If `scoring` has several scorers, `refit` is the name of the scorer that the optimizer maximizes. If `refit` is
        a callable or False, the optimizer maximizes the first scorer.
    workers : int, optional
        The number of worker processes, at least 1. By default, `fit` starts one worker for each core, but at most
        `batch_size` workers. The results do not depend on the number of workers.
    random_state : int or RandomState, optional
        The seed of the study, from 0 to 2**31 - 1, or a random generator. If `random_state` is a generator, `fit` draws
        the seed from the generator. The default seed is 42. A worker also seeds the global random generators of Python
        and numpy for each candidate.
    batch_size : int
        The number of candidates that the optimizer proposes in one iteration, from 1 to 1,000,000.
    error_score : "raise" or float
        The score of a split if the fit on the split raises an exception. The class `RandomizedSearchCV` also has the
        parameter `error_score`. A candidate without a finite mean score is a failed trial. If `error_score` is "raise",
        `fit` repeats the failed fit after the end of the study, and raises the exception of the failed fit.
    return_train_score : bool
        Whether `cv_results_` contains the scores on the training data.
    study_name : str, optional
        The name of the study. The default name contains a hash of the data, the estimator, the splits, the scorers and
        the settings. A study with the name `study_name` cannot continue with other data.
    database : str, optional
        The PostgreSQL database of the ledger, as a libpq URL. By default, the search uses the same database as
        `ledger.Study`. The `repr` of the search shows the URL in `database`. Do not pass a URL that contains a
        password. Write a URL with a password into the environment variable DATABASE_URL.
    optimizer : OptimizerOptions, optional
        Options of the optimizer. The docstring of `ledger.Study` describes the options.
    limits : LimitOptions, optional
        Limits for trials. The docstring of `ledger.Study` describes the limits. By default, the workers do not try a
        candidate again if a fit of the candidate has raised an exception.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        The parameters, scores and times of all candidates, in the format of scikit-learn's `cv_results_`.
    best_estimator_ : estimator
        The estimator with the best parameters, fitted on all data. If `refit` is False, the attribute `best_estimator_`
        does not exist.
    best_params_, best_score_, best_index_ : dict, float, int
        The best candidate's parameters, mean test score and index.
    scorer_, n_splits_, refit_time_, multimetric_, classes_, n_features_in_, feature_names_in_
        The same attributes as in `RandomizedSearchCV`.
    study_name_ : str
        The name of the study. ``ledger.load_study(search.study_name_)`` reads the study.

    Raises
    ------
    UsageError
        An argument or the search space is not valid, or the estimator cannot be pickled for the workers. The method
        `fit` raises UsageError, because scikit-learn's estimators check their arguments only in `fit`.
    LedgerError
        The study was cancelled, another program runs the study, or the database is unavailable. The method `fit` raises
        LedgerError. The method `fit` also raises LedgerError if a worker of another search calls `fit`.

    See Also
    --------
    ledger.Study : A search for the best parameters of any Python function.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> from ledger.sklearn import LedgerSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> search = LedgerSearchCV(SVC(), {"C": loguniform(1e-3, 1e3), "kernel": ["rbf", "linear"]}, n_trials=4, cv=3)
    >>> print(search.fit(X, y).best_score_ > 0.9)
    True
    >>> search.predict(X[:3])
    array([0, 0, 0])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{
            name: constraint
            for name, constraint in BaseSearchCV._parameter_constraints.items()
            if name not in ("n_jobs", "pre_dispatch", "verbose")
        },
        "n_trials": [numbers.Integral],
        "workers": [numbers.Integral, None],
        "random_state": [numbers.Integral, np.random.RandomState, None],
        "batch_size": [numbers.Integral],
        "study_name": [str, None],
        "database": [str, None],
        "optimizer": [dict, None],
        "limits": [dict, None],
    }

    @known_keywords
    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_trials: int = 20,
        cv: Any = None,
        scoring: Any = None,
        refit: Any = True,
        workers: int | None = None,
        random_state: Any = None,
        batch_size: int = 4,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        study_name: str | None = None,
        database: str | None = None,
        optimizer: Any = None,
        limits: Any = None,
    ) -> None:
        self.param_distributions = param_distributions
        self.n_trials = n_trials
        self.workers = workers
        self.random_state = random_state
        self.batch_size = batch_size
        self.study_name = study_name
        self.database = database
        self.optimizer = optimizer
        self.limits = limits
        # With `pre_dispatch="all"`, joblib passes all fits to the backend before the backend returns the result of the
        # first fit.
        super().__init__(
            estimator,
            scoring=scoring,
            refit=refit,
            cv=cv,
            pre_dispatch="all",
            error_score=error_score,
            return_train_score=return_train_score,
        )

    def fit(self, X: Any, y: Any = None, **params: Any) -> "LedgerSearchCV":
        """Run the study, and fit the estimator with the best parameters on all data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data. The workers read the data from a file on this machine. The file exists until the end of the study.
            The ledger does not store the data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            The targets.
        **params : dict
            Parameters for the method `fit` of the estimator, such as `sample_weight`. The search uses the parameter
            `groups` to split the data. The method `fit` of `RandomizedSearchCV` also has the parameters `X`, `y` and
            `params`.

        Returns
        -------
        LedgerSearchCV
            The search itself.

        Raises
        ------
        ValueError
            An argument is not valid, or all fits failed. If an argument is not valid or all fits failed, the method
            `fit` of `RandomizedSearchCV` also raises a ValueError.
        UsageError, LedgerError
            The docstring of the class describes the causes of UsageError and LedgerError.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.linear_model import Ridge
        >>> from ledger.sklearn import LedgerSearchCV
        >>> X, y = load_diabetes(return_X_y=True)
        >>> search = LedgerSearchCV(Ridge(), {"alpha": (1e-3, 1e3, "log-uniform")}, n_trials=3, cv=3)
        >>> sorted(search.fit(X, y).best_params_)
        ['alpha']
        """
        if os.environ.get(INSIDE):
            raise ledger.LedgerError(
                "a LedgerSearchCV cannot run inside a worker: search the parameters of both estimators in one search,"
                " or use a search of scikit-learn as the inner search"
            )
        backend = FitBackend(self)
        with ExitStack() as until_search:
            # `BaseSearchCV.fit` first creates its `joblib.Parallel`, and then calls `_run_search`. The method
            # `_run_search` restores joblib's configuration, so that the refit uses the configuration of the user.
            until_search.enter_context(parallel_config(backend=backend))
            self._backend, self._until_search = backend, until_search
            try:
                super().fit(X, y, **params)
            finally:
                del self._backend, self._until_search
        return self

    # `BaseSearchCV.fit` calls `_run_search` after the checks of the arguments, and before the refit. A subclass of
    # `BaseSearchCV` may choose the candidates in any way, but must pass all candidates to `evaluate_candidates`.
    # scikit-learn itself computes `cv_results_`, chooses the best candidate and sets all attributes. Therefore the
    # results have the format of the installed scikit-learn version.
    def _run_search(self, evaluate_candidates: Any) -> None:
        self._until_search.close()
        fits = self._backend.collect(evaluate_candidates, self.n_splits_)
        scorer = self.refit if isinstance(self.refit, str) else None
        search = CandidateFits(fits, read_distributions(self.param_distributions), scorer)
        # The method `set_params` raises an error for an unknown parameter before the study begins.
        clone(self.estimator).set_params(**search.distributions.first_point())
        candidates, results = [], []
        for trial in self._run_study(search).trials:
            found = self._results(trial, search)
            if found is not None:
                candidates.append(search.distributions.decode(trial.params))
                results += found
        self._backend.answer(evaluate_candidates, candidates, results)

    def _run_study(self, search: CandidateFits) -> "ledger.StudyResult":
        """Run the study of a search until the study ends."""
        label = type(self.estimator).__name__
        first = search.fits[0]
        code = digest(
            (first.arguments, [fit.keywords for fit in search.fits], search.distributions.objects, search.scorer)
        )
        settings = {
            "trials": int(self.n_trials),
            "batch_size": int(self.batch_size),
            "direction": "maximize",
            "seed": self._seed(),
            "optimizer": self.optimizer,
            "limits": {"max_failures": 1, **(self.limits or {})},
        }
        hashed = digest((code, search.distributions.space.to_json(), settings))[:_HASH_LENGTH]
        name = f"{re.sub('[^A-Za-z0-9]', '-', label)[:60].lstrip('-') or 'search'}-{settings['seed']}-{hashed}"
        with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
            shared = SharedContent(search, Path(folder) / "fits")
            study = ledger.Study(
                # The name of the objective contains a hash of the data. The study's spec contains the name of the
                # objective. Therefore an existing study cannot continue with other data.
                make_objective(f"{label}_{code[:_HASH_LENGTH]}", code, shared),
                name=self.study_name or name,
                database=self.database,
                **settings,
            )
            self.study_name_ = study.name
            try:
                return study.run(workers=self.workers)
            except ledger.LedgerError as error:
                if not str(error).startswith(f"study {study.name} is failed"):
                    raise
                result = ledger.load_study(study.name, self.database)
                if any(trial.state == "complete" for trial in result.trials):
                    # If only some candidates fail, the search returns the results of all other candidates.
                    # scikit-learn's `RandomizedSearchCV` also returns the results of all other candidates. If all fits
                    # failed, scikit-learn raises an error that contains the exceptions of the fits.
                    warnings.warn(f"the search ended early: {error}", FitFailedWarning, stacklevel=2)
                return result

    def _seed(self) -> int:
        if self.random_state is None:
            return _SEED
        if isinstance(self.random_state, numbers.Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    def _results(self, trial: "ledger.Trial", search: CandidateFits) -> list[dict[str, Any]] | None:
        """Return scikit-learn's result for each split of a trial, or None if the trial is not a candidate."""
        found = recorded_results(trial, len(search.fits))
        if found is not None or trial.state != "failed":
            return found
        if has_ended_search(trial):
            # The class `RandomizedSearchCV` would raise the exception of the failed fit. Therefore the method repeats
            # the fits until the failed fit raises its exception again. A debugger can read the traceback of the
            # repeated exception.
            for fit in search.fits:
                fit.run(search.distributions.decode(trial.params))
        if self.error_score == "raise" or has_ended_search(trial):
            raise ledger.LedgerError(
                f"trial {trial.number} of study {self.study_name_} failed: {last_line(trial.error)}: correct the"
                " estimator, or set error_score to a number"
            )
        several = self.scoring is not None and not isinstance(self.scoring, str) and not callable(self.scoring)
        return failed_fits(
            trial.error or "",
            len(search.fits),
            self.error_score,
            list(self.scoring) if several else None,
            has_train_scores=self.return_train_score,
        )
