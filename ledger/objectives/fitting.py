"""Objectives that train an estimator, and compute the loss from the estimator's score on test rows."""

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ledger.errors import LedgerError, TrialPruned, UsageError
from ledger.objectives import estimators, metrics, model_file, parameters, reporting
from ledger.objectives.context import Context
from ledger.objectives.estimators import EstimatorBuilder
from ledger.objectives.form import BALANCED, TrainingSettings
from ledger.objectives.result import ObjectiveResult
from ledger.objectives.splits import Rows, check_splits, splits
from ledger.objectives.tabular import DatasetArrays
from ledger.objectives.training_resource import BOOSTING_MODELS, TrainingResource, subset
from ledger.seeds import derive
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

    If the study has a rule of early stopping, the objective also reports scores on the test rows, as
    `ledger.objectives.training_resource` describes. The rule of early stopping does not change the returned dict.

    Parameters
    ----------
    form : TrainingSettings
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
        self, form: TrainingSettings, dataset: DatasetArrays, builder: "ModelBuilder | EstimatorBuilder", threads: int
    ) -> None:
        self._form, self._dataset, self._builder, self._threads = form, dataset, builder, threads
        self._score = metrics.scorer(form.metric)
        self._class_weights = class_weights(form, dataset)
        self._imputes = imputes(form, dataset)
        if form.keeps_models:
            # The import of skops takes some seconds. The constructor imports skops, so that no trial has to wait for
            # the import.
            model_file.import_skops()

    def __call__(self, params: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Train and score the estimator with the parameters of a trial."""
        form, resource = self._form, reporting.training_resource(context)
        by_rounds = resource is not None and resource.kind == "rounds"
        if by_rounds and (form.model not in BOOSTING_MODELS or form.folds is not None):
            raise LedgerError(
                'the resource "rounds" in the table [stopping] needs the model xgb or lgbm without cross-validation:'
                ' start a new study with the resource "rows"'
            )
        if resource is not None and not by_rounds:
            self._report_parts(params, context, resource)
        scores, seconds = [], 0.0
        for train, test in self._splits(context):
            score, more = self._train(params, context, train, test, by_rounds=by_rounds)
            scores.append(score)
            seconds += more
        mean = _mean(scores)
        if resource is not None and not by_rounds:
            context.report(mean, resource.largest)
        result: dict[str, Any] = {"loss": metrics.loss(form.metric, mean), form.metric: mean, "fit_seconds": seconds}
        if form.folds is not None:
            deviation = (sum((value - mean) ** 2 for value in scores) / len(scores)) ** 0.5
            result |= {f"{form.metric}_std": deviation, f"{form.metric}_folds": scores}
        return result

    def _splits(self, context: Context) -> Iterator[tuple[Rows, Rows]]:
        return splits(self._dataset, context.study_seed, self._form.folds, self._form.repeats)

    def _report_parts(self, params: Mapping[str, Any], context: Context, resource: TrainingResource) -> None:
        """At each rung, train on a part of the training rows, and report the mean score of all folds."""
        is_classification = self._dataset.labels is not None
        for rung in resource.rungs:
            scores = []
            for number, (train, test) in enumerate(self._splits(context)):
                seed = derive(context.study_seed, "rows", number)
                part = subset(train, rung, resource.largest, seed, is_classification=is_classification)
                try:
                    scores.append(self._train(params, context, part, test)[0])
                except Exception as error:
                    error.add_note(
                        f"the training used {len(part.targets)} of {len(train.targets)} rows, because the study stops"
                        " trials early: if the training needs more rows, set a larger min_resource"
                    )
                    raise
            context.report(_mean(scores), rung)
            if context.should_prune():
                raise TrialPruned

    def _train(
        self, params: Mapping[str, Any], context: Context, train: Rows, test: Rows, *, by_rounds: bool = False
    ) -> tuple[float, float]:
        """Train an estimator. Return the score on the test rows, and the training time in seconds."""
        estimator = self._builder.build(params, context.seed, self._threads)
        if self._imputes:
            x_train, x_test = _imputed(train.features, test.features)
            train, test = train._replace(features=x_train), test._replace(features=x_test)
        curve = _RoundCurve(context, lambda: self._score(estimator, test.features, test.targets, test.weights))
        options: dict[str, Any] = {}
        if by_rounds:
            assert isinstance(self._builder, ModelBuilder)
            options = self._builder.follow(estimator, test, curve)
        seconds = self._fit(estimator, train.features, train.targets, train.weights, options)
        return curve.score(), seconds - curve.seconds

    def refit(self, params: Mapping[str, Any], seed: int) -> Any:
        """Return an estimator that is trained on all rows of the dataset, but on no row of a hold-out file.

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
        self._fit(estimator, dataset.features, dataset.targets, dataset.weights, {})
        return estimator

    @property
    def keeps_models(self) -> bool:
        """Whether the study keeps the model of its best trial."""
        return self._form.keeps_models

    def keep_model(self, params: Mapping[str, Any], context: Context, result: ObjectiveResult) -> None:
        """Train an estimator in the same way as `refit`, and save the estimator as artifacts of the trial.

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

    def _fit(self, estimator: Any, features: Any, targets: Any, weights: Any, options: Mapping[str, Any]) -> float:
        """Train an estimator, and return the training time in seconds. `options` contains additional arguments for the
        estimator's method `fit`.
        """
        weights = self._training_weights(targets, weights)
        if weights is not None:
            options = {**options, str(estimators.weights_argument(estimator)): weights}
        started = time.perf_counter()
        estimator.fit(features, targets, **options)
        return time.perf_counter() - started

    def _training_weights(self, targets: Any, weights: Any) -> Any:
        if self._class_weights is None:
            return weights
        from sklearn.utils.class_weight import compute_sample_weight

        of_class = compute_sample_weight(self._class_weights, targets)
        return of_class if weights is None else of_class * weights


class _RoundCurve:
    """Reports a score after each boosting round.

    Parameters
    ----------
    context : Context
        The context of the trial.
    score : callable
        Function that returns the current score of the estimator on the test rows.

    Attributes
    ----------
    seconds : float
        The total time of all score computations, in seconds.
    """

    def __init__(self, context: Context, score: Callable[[], float]) -> None:
        self._context, self.score, self.seconds = context, score, 0.0

    def __call__(self, rounds: int) -> None:
        """Report the score after the given number of rounds."""
        started = time.perf_counter()
        self._context.report(self.score(), rounds)
        self.seconds += time.perf_counter() - started
        if self._context.should_prune():
            raise TrialPruned


class ModelBuilder:
    """A builder that creates a built-in model with the parameters of a trial.

    Raises
    ------
    LedgerError
        This machine cannot load the library of the model.
    """

    def __init__(self, model: str, task: str, fixed: Mapping[str, Any]) -> None:
        # Each model has its own module. Therefore a worker imports only the library of the model that the worker
        # trains. A manager imports no model library.
        try:
            self._module = importlib.import_module(f"ledger.objectives.{model}")
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
        # XGBoost and LightGBM accept any hyper-parameter name, even the name of an option that makes the library write
        # files.
        every = {**self._fixed, **params}
        parameters.check(self._model, every, self._task)
        return self._module.estimator(every, seed, threads, self._task)

    def follow(self, estimator: Any, rows: Rows, after_round: Callable[[int], object]) -> dict[str, Any]:
        """Call a function after each boosting round. `ledger.objectives.xgb.follow` describes the details."""
        options: dict[str, Any] = self._module.follow(estimator, rows, after_round)
        return options

    def check(self, points: Sequence[Mapping[str, Any]], task: str) -> None:
        """Raise a UsageError if the points contain a parameter that is not a hyper-parameter of the model."""
        parameters.check(self._model, points[0] if points else (), task)


def class_weights(form: TrainingSettings, dataset: DatasetArrays) -> Any:
    """Return the argument `class_weight` of `compute_sample_weight`, or None if the study has no class weights."""
    weights: Any = form.class_weights
    if weights is None or weights == BALANCED:
        return weights
    code_of = {str(label): code for code, label in enumerate(dataset.labels or ())}
    for name in weights:
        if name not in code_of:
            raise LedgerError(f"class_weights: the data have no class {name!r}{nearest(name, code_of)}")
    return {code_of[name]: float(weight) for name, weight in weights.items()}


def imputes(form: TrainingSettings, dataset: DatasetArrays) -> bool:
    """Return whether the objective replaces missing numbers in a dataset or in the dataset's hold-out file.

    If the estimator is a pipeline of the user, the objective does not replace missing numbers.
    """
    if len(form.steps) > 1:
        return False
    import numpy as np

    tables = [dataset] if dataset.holdout is None else [dataset, dataset.holdout]
    return any(bool(np.isnan(table.features).any()) for table in tables)


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)


def whole_estimator(
    builder: "ModelBuilder | EstimatorBuilder", params: Mapping[str, Any], seed: int, threads: int, with_imputer: bool
) -> Any:
    """Return an unfitted estimator that can be trained on all rows. If `with_imputer` is true, the estimator is a
    pipeline whose first step is a `SimpleImputer`.
    """
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
