"""Parameters of a trial as Python values, with the tuples that JSON does not have."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ledger.study.dimensions import Categorical


def python_params(params: Mapping[str, Any], dimensions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters of a trial in Python's types.

    Parameters
    ----------
    params : mapping
        The parameters as JSON values, as in the table ledger.trial.
    dimensions : iterable of mapping
        The dimensions of the space as JSON, as in the study's spec, or only the dimensions whose choices contain
        tuples.

    Returns
    -------
    dict
        The parameters in the order of `params`. The function does not change or refuse a value that is not a choice of
        its dimension, because a reader must be able to show every row of a ledger.

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
    """Return the parameters of a trial in Python's types and in the order of the space.

    The database does not keep the order of the keys of a JSON object.

    Examples
    --------
    >>> ordered_params({"b": 1, "a": [2]}, [{"name": "a", "choices": [[2]], "tuples": True}, {"name": "b"}])
    {'a': (2,), 'b': 1}
    """
    return python_params({each["name"]: params[each["name"]] for each in space if each["name"] in params}, space)
