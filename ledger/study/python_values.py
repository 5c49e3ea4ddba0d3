"""Conversion of a trial's parameters from JSON values into Python values, such as tuples."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ledger.study.dimensions import Categorical


def python_params(params: Mapping[str, Any], dimensions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Convert the parameters of a trial from JSON values into Python values.

    Parameters
    ----------
    params : mapping
        The parameters as JSON values. The JSON values are the same as in the table `ledger.trial`.
    dimensions : iterable of mapping
        The dimensions of the search space as JSON objects. The caller can omit each dimension whose choices contain no
        tuples.

    Returns
    -------
    dict
        The parameters in the order of `params`. If a value is not a choice of the dimension, the function returns the
        value unchanged. The function raises no error, because the user must be able to read every row of the ledger.

    Examples
    --------
    >>> layers = {"name": "layers", "type": "categorical", "choices": [[64], [64, 32]], "tuples": True}
    >>> python_params({"rate": 0.5, "layers": [64, 32]}, [layers])
    {'rate': 0.5, 'layers': (64, 32)}
    """
    values = dict(params)
    for dimension in dimensions:
        name = dimension.get("name")
        if dimension.get("tuples") and name in values:
            with suppress(ValueError, KeyError, TypeError):
                values[name] = Categorical.from_table(name, dimension).normalise(values[name])
    return values


def ordered_params(params: Mapping[str, Any], space: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Convert the parameters of a trial into Python values, and sort the parameters in the order of the search space.

    The database does not keep the order of the keys of a JSON object.

    Examples
    --------
    >>> ordered_params({"b": 1, "a": [2]}, [{"name": "a", "choices": [[2]], "tuples": True}, {"name": "b"}])
    {'a': (2,), 'b': 1}
    """
    return python_params({each["name"]: params[each["name"]] for each in space if each["name"] in params}, space)
