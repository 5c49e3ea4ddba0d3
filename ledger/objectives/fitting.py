"""Objectives that train an estimator, and compute the loss from the estimator's score on test rows."""

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ledger.errors import LedgerError, UsageError
from ledger.objectives import estimators, metrics, model_file, parameters
from ledger.objectives.context import Context
from ledger.objectives.estimators import EstimatorBuilder
from ledger.objectives.form import BALANCED, TrainingForm
from ledger.objectives.result import ObjectiveResult
from ledger.objectives.splits import check_splits, splits
from ledger.objectives.tabular import DatasetArrays
from ledger.text import nearest, one_line

if TYPE_CHECKING:
    from ledger.objectives.model_document import MissingNumbers


class FittingObjective:
    """An objective that trains an estimator on a dataset, and returns the score and the loss.

    A call of the objective returns a dict. The dict contains the loss under the key ``loss``, the score under the name
    of the metric, and the training time in seconds under the key ``fit_seconds``. With a cross-validation, the score is
    the mean score of the folds. After a cross-validation, the dict also contains the two entries ``METRIC_folds`` and
    ``METRIC_std``. The entry ``METRIC_folds`` is the list of the folds' scores. The entry ``METRIC_std`` is the
    standard deviation of the folds' scores (ddof 0). METRIC stands for the name of the metric.

    For the metric "accuracy", the loss is exactly the floating-point result of ``1 - accuracy``. If the accuracy is at
    least 0.5, ``1 - loss`` is exactly equal to the accuracy. The docstring of `ledger.objectives.metrics` describes the
    loss of each metric.

    Parameters
    ----------
    form : TrainingForm
        The settings of the objective.
    dataset : DatasetArrays
        The dataset. A pipeline receives the missing numbers as NaN. For any other estimator, the objective replaces
        each missing number by the column's median in the training rows.
    builder : ModelBuilder or EstimatorBuilder
        The object that creates the estimators.
    threads : int
        Number of threads that train one estimator, at least 1.
    """

    def __init__(
        self, form: TrainingForm, dataset: DatasetArrays, builder: "ModelBuilder | EstimatorBuilder", threads: int
    ) -> None:
        self._form, self._dataset, self._builder, self._threads = form, dataset, builder, threads
        self._score = metrics.scorer(form.metric)
        self._class_weights = class_weights(form, dataset)
        self._imputes = imputes(form, dataset)
        if form.keeps_models:
            # The import takes some seconds, which are no part of a trial.
            model_file.import_skops()

    def __call__(self, params: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Train and score the estimator with the parameters of a trial."""
        form, scores, seconds = self._form, [], 0.0
        for train, test in splits(self._dataset, context.study_seed, form.folds, form.repeats):
            estimator = self._builder.build(params, context.seed, self._threads)
            x_train, x_test = (
                _imputed(train.features, test.features) if self._imputes else (train.features, test.features)
            )
            seconds += self._fit(estimator, x_train, train.targets, train.weights)
            scores.append(self._score(estimator, x_test, test.targets, test.weights))
        mean = sum(scores) / len(scores)
        result: dict[str, Any] = {"loss": metrics.loss(form.metric, mean), form.metric: mean, "fit_seconds": seconds}
        if form.folds is not None:
            deviation = (sum((value - mean) ** 2 for value in scores) / len(scores)) ** 0.5
            result |= {f"{form.metric}_std": deviation, f"{form.metric}_folds": scores}
        return result

    def refit(self, params: Mapping[str, Any], seed: int) -> Any:
        """Return an estimator that is trained on all rows of the dataset, except the rows of a hold-out file.

        If the objective replaces missing numbers, the estimator is a pipeline whose first step replaces missing
        numbers.

        Parameters
        ----------
        params : mapping
            The parameters of a trial.
        seed : int
            The seed of the trial.
        """
        estimator, dataset = whole_estimator(self._builder, params, seed, self._threads, self._imputes), self._dataset
        self._fit(estimator, dataset.features, dataset.targets, dataset.weights)
        return estimator

    @property
    def keeps_models(self) -> bool:
        """Whether the study keeps the model of its best trial."""
        return self._form.keeps_models

    def keep_model(self, params: Mapping[str, Any], context: Context, result: ObjectiveResult) -> None:
        """Train the estimator that `refit` returns, and save it as artifacts of the trial.

        Raises
        ------
        LedgerError
            The model cannot be saved. The estimator may raise any other exception.
        """
        from ledger.objectives.model_keeping import keep

        plain = whole_estimator(self._builder, params, context.seed, self._threads, self._imputes)
        missing_numbers: MissingNumbers = "refused"
        if self._imputes:
            missing_numbers = "median"
        elif len(self._form.steps) > 1:
            missing_numbers = "estimator"
        fitted = self.refit(params, context.seed)
        keep(fitted, plain, self._form, self._dataset, missing_numbers, params, context, result)

    def check(self, points: Sequence[Mapping[str, Any]], seed: int) -> None:
        """Check the estimator, the given points of the search space and all splits.

        The ledger calls this method before the ledger records the study.

        Parameters
        ----------
        points : sequence of mapping
            Points of the search space, such as the points that `ledger.study.space.Space.extreme_points` returns.
        seed : int
            The study's seed.

        Raises
        ------
        UsageError
            A trial of the study would fail. The message is one line.
        """
        form = self._form
        self._builder.check(points, form.task)
        estimator = self._builder.build({}, 0, 1)
        has_weights = self._dataset.weights is not None or self._class_weights is not None
        if has_weights and estimators.weights_argument(estimator) is None:
            raise UsageError(
                f"the fit method of {self._builder.label} has no argument sample_weight; leave weight_column and"
                " class_weights out, or use another estimator"
            )
        if metrics.needs_probabilities(form.metric) and not hasattr(estimator, "predict_proba"):
            raise UsageError(
                f"the metric {form.metric} needs the probability of each class, but {self._builder.label} has no"
                " predict_proba; use another metric such as balanced_accuracy, or another estimator"
            )
        check_splits(self._dataset, seed, form.folds, form.repeats, form.metric)

    def _fit(self, estimator: Any, features: Any, targets: Any, weights: Any) -> float:
        """Train an estimator, and return the training time in seconds."""
        weights = self._training_weights(targets, weights)
        options = {} if weights is None else {str(estimators.weights_argument(estimator)): weights}
        started = time.perf_counter()
        estimator.fit(features, targets, **options)
        return time.perf_counter() - started

    def _training_weights(self, targets: Any, weights: Any) -> Any:
        if self._class_weights is None:
            return weights
        from sklearn.utils.class_weight import compute_sample_weight

        of_class = compute_sample_weight(self._class_weights, targets)
        return of_class if weights is None else of_class * weights


class ModelBuilder:
    """A builder that creates a built-in model with the parameters of a trial.

    Raises
    ------
    LedgerError
        This machine cannot load the library of the model.
    """

    def __init__(self, model: str, task: str, fixed: Mapping[str, Any]) -> None:
        # `ModelBuilder` imports only the module for the model with the name `model`. Therefore a worker imports only
        # the library of the model that the worker trains. A manager imports no model library.
        try:
            self._estimator: Callable[..., Any] = importlib.import_module(f"ledger.objectives.{model}").estimator
        except (ImportError, OSError) as error:  # OSError: the library needs a shared library, such as libgomp
            raise LedgerError(
                f"model {model} does not work on this machine, because its library cannot be loaded: "
                f"{one_line(str(error))}; install the library for this worker's Python"
            ) from error
        self._model, self._task, self._fixed = model, task, fixed
        self.label = f"model {model}"

    def build(self, params: Mapping[str, Any], seed: int, threads: int) -> Any:
        """Return an unfitted estimator with the fixed parameters and `params`."""
        # Another program may have inserted the trial into the database without a check of the hyper-parameters' names.
        # XGBoost and LightGBM accept any hyper-parameter name, even the name of an option with which the library writes
        # files.
        every = {**self._fixed, **params}
        parameters.check(self._model, every, self._task)
        return self._estimator(every, seed, threads, self._task)

    def check(self, points: Sequence[Mapping[str, Any]], task: str) -> None:
        """Raise a UsageError if the points contain a parameter that is not a hyper-parameter of the model."""
        parameters.check(self._model, points[0] if points else (), task)


def class_weights(form: TrainingForm, dataset: DatasetArrays) -> Any:
    """Return the argument `class_weight` of `compute_sample_weight`, or None if the study has no class weights."""
    weights: Any = form.class_weights
    if weights is None or weights == BALANCED:
        return weights
    code_of = {str(label): code for code, label in enumerate(dataset.labels or ())}
    for name in weights:
        if name not in code_of:
            raise LedgerError(f"class_weights: the data have no class {name!r}{nearest(name, code_of)}")
    return {code_of[name]: float(weight) for name, weight in weights.items()}


def imputes(form: TrainingForm, dataset: DatasetArrays) -> bool:
    """Return whether the objective replaces missing numbers in a dataset or in the dataset's hold-out file.

    If the estimator is a pipeline of the user, the objective does not replace missing numbers.
    """
    if len(form.steps) > 1:
        return False
    import numpy as np

    tables = [dataset] if dataset.holdout is None else [dataset, dataset.holdout]
    return any(bool(np.isnan(table.features).any()) for table in tables)


def whole_estimator(
    builder: "ModelBuilder | EstimatorBuilder", params: Mapping[str, Any], seed: int, threads: int, with_imputer: bool
) -> Any:
    """Return the unfitted estimator that receives the features of all rows. It may begin with a `SimpleImputer`."""
    estimator = builder.build(params, seed, threads)
    if not with_imputer:
        return estimator
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_imputer(), estimator)


def _imputer() -> Any:
    from sklearn.impute import SimpleImputer

    # The imputer needs the option `keep_empty_features`, because all values of a column may be missing in the training
    # rows of a fold.
    return SimpleImputer(strategy="median", keep_empty_features=True)


def _imputed(x_train: Any, x_test: Any) -> tuple[Any, Any]:
    imputer = _imputer()
    return imputer.fit_transform(x_train), imputer.transform(x_test)
