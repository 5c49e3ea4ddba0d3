"""Estimators with a reference such as "sklearn.svm:SVC", and pipelines of several estimators.

A worker may always run the estimator classes of scikit-learn, XGBoost and LightGBM. A worker needs permission to run
the estimators of any other package. A reference to a package that needs permission can also name a function that
returns an estimator.

The module imports scikit-learn only inside its functions, because a manager checks references without scikit-learn.
"""

import importlib
import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ledger.errors import LedgerError, UsageError
from ledger.objectives import references
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION, TASKS
from ledger.text import nearest, one_line, show

# Packages whose estimators a worker may run without permission.
PACKAGES = ("sklearn", "xgboost", "lightgbm")
# Parameters that the ledger itself sets, both in a single estimator and in the steps of a pipeline. Each name is mapped
# to a text for error messages. The text describes the value that the ledger sets.
RESERVED = {
    "random_state": "the trial's own seed",
    "n_jobs": "the worker's threads",
    "memory": "the cache is off, because each attempt of a trial must have the same loss",
    "verbosity": "silent",
}
# Scikit-learn's names for the kinds of estimators that do not predict a target.
_WITHOUT_TARGET = ("clusterer", "density_estimator", "outlier_detector", "transformer")

# Each step has a name and a reference. If the study trains a single estimator without a pipeline, the only step has the
# name "".
Steps = Sequence[tuple[str, str]]


def check_reference(reference: str) -> None:
    """Raise a UsageError if `reference` does not have the form "package.module:Class". The check imports no module."""
    references.check_form(reference, "estimator", "package.module:Class")


def check_steps(steps: Sequence[Sequence[str]]) -> None:
    """Raise a UsageError if a step of a pipeline has an invalid name or an invalid reference."""
    if len(steps) < 2:
        raise UsageError(
            f'a pipeline needs at least two steps, but "steps" has {len(steps)}; for a single step, use "estimator"'
        )
    earlier: set[str] = set()
    for name, reference in steps:
        if not name.isidentifier() or "__" in name or name in ("steps", "memory", "verbose", "transform_input"):
            raise UsageError(
                f"the name {show(name)} of a step must consist of letters, digits and single underscores, and must not"
                " be the name of a pipeline's parameter; rename the step"
            )
        if name in earlier:
            raise UsageError(f"two steps have the name {show(name)}; rename one of the two steps")
        earlier.add(name)
        check_reference(reference)


def modules(steps: Steps) -> list[str]:
    """Return the name of each step's module.

    Examples
    --------
    >>> modules([("scale", "sklearn.preprocessing:StandardScaler"), ("model", "own.models:Forest")])
    ['sklearn.preprocessing', 'own.models']
    """
    return [reference.partition(":")[0] for _, reference in steps]


def is_known(module: str) -> bool:
    """Return whether a worker may run the estimator classes of a module without permission.

    Examples
    --------
    >>> is_known("sklearn.svm"), is_known("own.models")
    (True, False)
    """
    return references.is_in(module, PACKAGES)


def need_permission(steps: Steps) -> bool:
    """Return whether a worker needs permission to run an estimator of `steps`."""
    return bool(own_references(steps))


def own_references(steps: Steps) -> list[str]:
    """Return the references to the estimators that a worker may run only with permission.

    Examples
    --------
    >>> own_references([("scale", "sklearn.preprocessing:StandardScaler"), ("model", "own.models:Forest")])
    ['own.models:Forest']
    """
    return [reference for _, reference in steps if not is_known(reference.partition(":")[0])]


class EstimatorBuilder:
    """A builder that creates the estimator of a study with the parameters of a trial.

    Parameters
    ----------
    steps : sequence of (str, str)
        The name and the reference of each step. If the study trains a single estimator without a pipeline, the only
        step has the name "".
    fixed : mapping
        The parameters that have the same value in all trials. A nested parameter has a name such as ``model__C``.
    allowed : collection of str
        Packages and modules whose estimators this process may run, in addition to `PACKAGES`.
    folder : str, optional
        Additional folder in which Python searches for the modules, after all folders of ``sys.path``.

    Raises
    ------
    LedgerError
        An estimator cannot be imported, cannot be created or is not allowed, or a reference does not name an estimator.
        The message is one line.
    """

    def __init__(
        self, steps: Steps, fixed: Mapping[str, Any], allowed: Collection[str], folder: str | None = None
    ) -> None:
        self._steps = [(name, reference, find_estimator(reference, allowed, folder)) for name, reference in steps]
        self._fixed = fixed
        self._is_pipeline = len(steps) > 1
        self.label = "the pipeline" if self._is_pipeline else steps[0][1].partition(":")[2]
        for index, (_, reference, factory) in enumerate(self._steps):
            _check_methods(reference, _create(reference, factory), is_last=index == len(steps) - 1)
        self._kind = _kind(*self._steps[-1][1:])
        self._known = self._parameters()
        try:
            self._check_names(fixed)
        except UsageError as error:
            raise LedgerError(f"the fixed parameters (params): {error}") from None

    def build(self, params: Mapping[str, Any], seed: int, threads: int) -> Any:
        """Return an unfitted estimator with the fixed parameters and `params`.

        Raises
        ------
        UsageError
            A name in `params` is not a parameter of the estimator, or the ledger itself sets the parameter.
        """
        self._check_names(params)
        estimator = self._create_all()
        estimator.set_params(**self._fixed, **params)
        _set_reproducible(estimator, seed, threads)
        return estimator

    def check(self, points: Sequence[Mapping[str, Any]], task: str) -> None:
        """Check that the estimator suits the task, and that it accepts the fixed parameters and the points of a space.

        Parameters
        ----------
        points : sequence of mapping
            Points of the search space. All points have the same parameters.
        task : str
            One of `ledger.objectives.tasks.TASKS`.

        Raises
        ------
        UsageError
            The estimator does not suit the task, or refuses a parameter or a point. The message is one line.
        """
        self._check_kind(task)
        self._checked({}, "[objective] params")
        try:
            self._check_names(points[0] if points else ())
        except UsageError as error:
            raise UsageError(f"[space] {error}") from None
        for point in points:
            self._checked(point, "[space]")

    def _create_all(self) -> Any:
        parts = [(name, _create(reference, factory)) for name, reference, factory in self._steps]
        if not self._is_pipeline:
            return parts[0][1]
        from sklearn.pipeline import Pipeline

        return Pipeline(parts)

    def _parameters(self) -> dict[str, Any]:
        try:
            return dict(self._create_all().get_params(deep=True))
        except Exception as error:  # The method get_params of a user's class may raise any exception.
            raise LedgerError(f"{self.label}: get_params raised {_described(error)}; correct the method") from error

    def _check_names(self, names: Any) -> None:
        for name in names:
            reserved = RESERVED.get(name.rpartition("__")[2])
            if name in self._known and reserved is not None:
                raise UsageError(
                    f"the ledger itself sets {name!r} of {self.label} ({reserved}); leave this parameter out"
                )
            if name not in self._known:
                searchable = sorted(known for known in self._known if self._is_value(known))
                nested = [known for known in searchable if known.endswith(f"__{name}")]
                way_out = f"; did you mean {nested[0]!r}?" if nested else nearest(name, searchable)
                raise UsageError(f"{self.label} has no parameter {name!r}{way_out}")
            if not self._is_value(name):
                raise UsageError(
                    f"{name!r} of {self.label} is an estimator, not a value; set its parameters, such as {name}__NAME,"
                    " or name a function that returns the whole estimator"
                )

    def _is_value(self, name: str) -> bool:
        value = self._known[name]
        return not hasattr(value, "get_params") and name != "steps" and name.rpartition("__")[2] not in RESERVED

    def _checked(self, params: Mapping[str, Any], place: str) -> None:
        try:
            _validate(self.build(params, 0, 1))
        except UsageError as error:
            raise UsageError(f"{place} {error}") from None
        except Exception as error:  # The method set_params of a user's class may raise any exception.
            raise UsageError(
                f"{place} {self.label} refuses the parameters {show({**self._fixed, **params})}: {_described(error)}"
            ) from None

    def _check_kind(self, task: str) -> None:
        kind = self._kind
        if kind in _WITHOUT_TARGET:
            raise UsageError(
                f"{self.label} is an estimator of the kind {kind.replace('_', ' ')}, and cannot predict a target; use"
                " a classifier or a regressor"
            )
        if kind is not None and kind != task:
            noun = {CLASSIFICATION: "classifier", REGRESSION: "regressor"}
            raise UsageError(
                f"{self.label} is a {noun[kind]}, but the task is {task}; use a {noun[task]}, or --task {kind} if the"
                " target fits this task"
            )


def weights_argument(estimator: Any) -> str | None:
    """Return the name of the ``fit`` argument for row weights, or None if ``fit`` accepts no row weights.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn.svm import SVC
    >>> weights_argument(make_pipeline(StandardScaler(), SVC()))
    'svc__sample_weight'
    >>> weights_argument(KNeighborsClassifier())
    """
    from sklearn.pipeline import Pipeline

    prefix = ""
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    arguments = inspect.signature(estimator.fit).parameters.values()
    accepts = any(each.name == "sample_weight" or each.kind is each.VAR_KEYWORD for each in arguments)
    return f"{prefix}sample_weight" if accepts else None


def find_estimator(reference: str, allowed: Collection[str], folder: str | None = None) -> Any:
    """Return the object to which `reference` refers: an estimator class, or a function that returns an estimator.

    `EstimatorBuilder` describes the parameters `allowed` and `folder`.

    Raises
    ------
    LedgerError
        The estimator cannot be imported or is not allowed, or `reference` does not name an estimator. The message is
        one line.
    """
    check_reference(reference)
    found = references.resolve(reference, "estimator", {*PACKAGES, *allowed}, folder)
    if references.is_in(references.defining_module(found), allowed):
        return found
    from sklearn.base import BaseEstimator

    # A reference to a package in `PACKAGES` must name an estimator class, because the packages in `PACKAGES` also
    # contain functions that download files or delete folders.
    if not (inspect.isclass(found) and issubclass(found, BaseEstimator)):
        raise LedgerError(
            f"estimator {reference!r} is not an estimator class; name a class such as sklearn.svm:SVC, or a function of"
            " your own module that returns an estimator"
        )
    return found


def _create(reference: str, factory: Any) -> Any:
    try:
        return factory()
    except Exception as error:  # The code of a user may raise any exception.
        raise LedgerError(
            f"estimator {reference!r} cannot be created without arguments ({_described(error)}); name a function of"
            " your own module that returns the estimator"
        ) from error


def _check_methods(reference: str, estimator: Any, *, is_last: bool) -> None:
    needed = ("get_params", "set_params", "fit", "predict" if is_last else "transform")
    missing = [name for name in needed if not callable(getattr(estimator, name, None))]
    if missing or inspect.isclass(estimator):
        role = "an estimator" if is_last else "a step before the last step"
        raise LedgerError(
            f"estimator {reference!r} has no method {missing[0] if missing else 'fit of an object'}, which"
            f" {role} needs; name a class with the methods {', '.join(needed)}"
        )


def _set_reproducible(estimator: Any, seed: int, threads: int) -> None:
    """Set the seed and the number of threads of an estimator and of all its parts.

    Because of the seed, all attempts of a trial have the same loss.
    """
    parameters = estimator.get_params(deep=True)
    pools = [name.removesuffix("n_jobs") for name in parameters if name.rpartition("__")[2] == "n_jobs"]
    settings: dict[str, Any] = {}
    for name in parameters:
        prefix, last = name[: len(name) - len(name.rpartition("__")[2])], name.rpartition("__")[2]
        if last == "random_state":
            settings[name] = seed
        elif last == "n_jobs":
            # An estimator may train its parts in parallel. If each part of the estimator also had `threads` threads,
            # the training would start too many threads.
            is_inside = any(prefix != outer and prefix.startswith(outer) for outer in pools)
            settings[name] = 1 if is_inside else threads
    estimator.set_params(**settings)
    for part in _parts(estimator, parameters):
        package = type(part).__module__.partition(".")[0]
        # In this module, only `_set_reproducible` imports the ledger's modules for LightGBM and XGBoost. Therefore a
        # program that only checks references does not import LightGBM or XGBoost.
        if package == "lightgbm":
            part.set_params(**importlib.import_module("ledger.objectives.lgbm").REPRODUCIBLE)
        elif package == "xgboost":
            reproducible = importlib.import_module("ledger.objectives.xgb").reproducible
            part.set_params(**reproducible(part.get_params(deep=False)))


def _parts(estimator: Any, parameters: Mapping[str, Any]) -> Iterator[Any]:
    """Yield an estimator and all estimators that the estimator contains."""
    yield estimator
    yield from (value for value in parameters.values() if hasattr(value, "get_params") and not inspect.isclass(value))


def _validate(estimator: Any) -> None:
    """Raise a UsageError if a class of scikit-learn would refuse the value of a parameter during the training."""
    for part in _parts(estimator, estimator.get_params(deep=True)):
        # scikit-learn has no public function that checks the parameters' values before the training.
        validate = getattr(part, "_validate_params", None)
        if validate is not None and hasattr(part, "_parameter_constraints"):
            try:
                validate()
            except ValueError as error:
                raise UsageError(one_line(str(error))) from None


def _kind(reference: str, factory: Any) -> str | None:
    """Return the task of a classifier or a regressor, or the kind of any other estimator, such as "clusterer".

    Return None if the kind of the estimator is unknown.
    """
    estimator = _create(reference, factory)
    try:
        from sklearn.utils import get_tags
    except ImportError:  # scikit-learn 1.5
        kind = getattr(estimator, "_estimator_type", None)
    else:
        try:
            kind = get_tags(estimator).estimator_type
        except Exception as error:
            raise LedgerError(
                f"estimator {reference!r} has no scikit-learn tags, which the scorers of scikit-learn need; derive the"
                " class from sklearn.base.BaseEstimator"
            ) from error
    tasks = dict(zip(("classifier", "regressor"), TASKS, strict=True))
    return None if kind is None else tasks.get(str(kind), str(kind))


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(str(error))}"
