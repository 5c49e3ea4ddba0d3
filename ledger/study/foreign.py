"""Converts dimensions of skopt, scipy, Optuna and ConfigSpace to dicts that define dimensions of the ledger.

The module recognises a dimension by the package that defines the dimension's class. Therefore the module need not
import skopt, scipy, Optuna or ConfigSpace.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ledger.text import show


def foreign_dimension(given: Any) -> dict[str, Any] | None:
    """Convert a dimension of another package to a dict. If the object is not a dimension of a supported package, return
    None.

    The dict has no default. Each dimension of ConfigSpace has a default, even if the user has not chosen one. Therefore
    the function ignores the defaults of other packages.

    Parameters
    ----------
    given : object
        Any object. The function can convert the following objects:

        - `skopt.space.Real`, `Integer` or `Categorical`
        - a frozen `uniform`, `loguniform` or `randint` of scipy.stats
        - `optuna.distributions.FloatDistribution`, `IntDistribution` or `CategoricalDistribution`
        - `ConfigSpace.Float`, `Integer`, `Categorical` or `Constant`, with a uniform distribution

    Raises
    ------
    ValueError
        The object is a dimension of a supported package, but the ledger has no equal dimension.

    Examples
    --------
    >>> import scipy.stats
    >>> foreign_dimension(scipy.stats.loguniform(1e-3, 10))
    {'type': 'real', 'low': 0.001, 'high': 10, 'prior': 'log-uniform'}
    >>> foreign_dimension((0, 1))
    """
    reader = _READERS.get(package_of(given))
    return None if reader is None else reader(given)


def package_of(given: Any) -> str:
    """Return the name of the package that defines the object's class or one of the base classes.

    If the package is not in `PACKAGES`, return "".
    """
    packages = (base.__module__.partition(".")[0] for base in type(given).__mro__)
    return next((package for package in packages if package in _READERS), "")


def _of_skopt(given: Any) -> dict[str, Any]:
    match _class_among(given, "Real", "Integer", "Categorical"):
        case "Categorical":
            return {"type": "categorical", "choices": list(_evenly(given, given.categories, given.prior))}
        case "Real":
            return _range("real", given.low, given.high, given.prior)
        case "Integer":
            return _range("integer", given.low, given.high, given.prior)
    raise _unknown(given, "skopt.space", "Real, Integer or Categorical")


def _of_scipy(given: Any) -> dict[str, Any]:
    usable = "uniform, loguniform or randint"
    distribution = getattr(given, "dist", None)
    name = getattr(distribution, "name", None)
    if name is None:
        own = getattr(given, "name", type(given).__name__)
        if own in ("uniform", "loguniform", "reciprocal", "randint"):
            raise ValueError(
                f"scipy.stats.{own} has no range; give its arguments, as in scipy.stats.uniform(0, 1) or"
                " scipy.stats.randint(1, 9)"
            )
        raise _unknown(given, "scipy.stats", usable, own)
    low, high = (_plain(end) for end in given.support())
    if isinstance(low, list) or isinstance(high, list):
        raise ValueError(f"scipy.stats.{name} has arrays as arguments; give one number for each argument")
    match name:
        case "uniform":
            return _range("real", low, high)
        case "loguniform" | "reciprocal":
            # The positional arguments of the distribution are `a`, `b`, `loc` and `scale`.
            if given.kwds.get("loc", given.args[2] if len(given.args) > 2 else 0):
                raise ValueError(f"scipy.stats.{name} with loc is not log-uniform; leave loc out")
            return _range("real", low, high, "log-uniform")
        case "randint":
            return _range("integer", low, high)
    raise _unknown(given, "scipy.stats", usable, name)


def _of_optuna(given: Any) -> dict[str, Any]:
    match _class_among(given, "FloatDistribution", "IntDistribution", "CategoricalDistribution"):
        case "CategoricalDistribution":
            return {"type": "categorical", "choices": list(given.choices)}
        case "FloatDistribution":
            return _range("real", given.low, given.high, _prior(given.log), given.step)
        case "IntDistribution":
            return _range("integer", given.low, given.high, _prior(given.log), given.step)
    raise _unknown(given, "optuna.distributions", "FloatDistribution, IntDistribution or CategoricalDistribution")


def _of_configspace(given: Any) -> dict[str, Any]:
    known = ("UniformFloat", "UniformInteger", "Categorical", "Ordinal")
    match _class_among(given, *(f"{name}Hyperparameter" for name in known), "Constant"):
        case "CategoricalHyperparameter":
            return {"type": "categorical", "choices": list(_evenly(given, given.choices, given.weights))}
        case "OrdinalHyperparameter":
            return {"type": "categorical", "choices": list(given.sequence), "ordered": True}
        case "Constant":
            return {"type": "categorical", "choices": [given.value]}
        case "UniformFloatHyperparameter":
            return _range("real", given.lower, given.upper, _prior(given.log), getattr(given, "q", None))
        case "UniformIntegerHyperparameter":
            return _range("integer", given.lower, given.upper, _prior(given.log), getattr(given, "q", None))
    raise _unknown(given, "ConfigSpace", "Constant, Categorical, or a Float or Integer with a uniform distribution")


_READERS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "skopt": _of_skopt,
    "scipy": _of_scipy,
    "optuna": _of_optuna,
    "ConfigSpace": _of_configspace,
}
PACKAGES = tuple(_READERS)


def _class_among(given: Any, *names: str) -> str | None:
    return next((base.__name__ for base in type(given).__mro__ if base.__name__ in names), None)


def _range(kind: str, low: Any, high: Any, prior: str = "uniform", step: Any = None) -> dict[str, Any]:
    low, high = _plain(low), _plain(high)
    if low == high:
        return {"type": "categorical", "choices": [float(low) if kind == "real" else low]}
    table = {"type": kind, "low": low, "high": high, "prior": prior}
    # An integer dimension of Optuna has the step 1 by default, even if its prior is logarithmic.
    return table if step is None or (kind == "integer" and step == 1) else {**table, "step": _plain(step)}


def _evenly(given: Any, choices: Any, weights: Any) -> Any:
    if weights is not None and len({float(weight) for weight in weights}) > 1:
        raise ValueError(
            f"{type(given).__name__} has weights, but the ledger's choices are equally probable; leave the weights out"
        )
    return choices


def _prior(is_logarithmic: bool) -> str:
    return "log-uniform" if is_logarithmic else "uniform"


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _unknown(given: Any, package: str, usable: str, name: str | None = None) -> ValueError:
    return ValueError(
        f"{show(name or type(given).__name__)} of {package} is not supported; use {usable}, or write a range such as"
        " (0.0, 1.0)"
    )
