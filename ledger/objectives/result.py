"""Checks the return value of an objective, and the metrics of a report. The value must be finite, and the metrics must
be valid JSON.
"""

import json
import math
import numbers
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.database.bounds import LARGEST_JSON, LARGEST_REPORT, json_fault, text_fault
from ledger.errors import LedgerError
from ledger.objectives.value_scale import ValueScale
from ledger.text import one_line


class InvalidResultError(LedgerError):
    """An exception for an objective whose return value is not a valid result. The exception makes the attempt fail."""


@dataclass(frozen=True)
class ObjectiveResult:
    """The loss and the metrics that the ledger computes from the return value of an objective.

    Attributes
    ----------
    loss : float
        The finite loss. A smaller loss is better.
    metrics : dict of str to JSON values
        All entries of the dict that the objective returned, except the entries "value" and "loss".
    """

    loss: float
    metrics: dict[str, Any]


_MINIMISED = ValueScale()


def to_result(returned: Any, scale: ValueScale = _MINIMISED) -> ObjectiveResult:
    """Convert the return value of an objective to an `ObjectiveResult`.

    Parameters
    ----------
    returned : real number or dict
        The value, or a dict that contains the value under the key "value". If the study minimises the value, the dict
        may contain the value under the key "loss" instead of the key "value". The value is a real number of any type
        except bool, and may be a NumPy scalar. All other entries of the dict are metrics. The function converts NumPy
        scalars in metrics to Python numbers.
    scale : ValueScale
        The relation between the objective's value and the loss. By default, the loss is equal to the value.

    Raises
    ------
    InvalidResultError
        `returned` is neither a real number nor a dict, or the value is missing or not finite. The function also raises
        InvalidResultError if a metric cannot be stored as JSON. The message is one line.

    Examples
    --------
    >>> to_result({"loss": 0.25, "accuracy": 0.75})
    ObjectiveResult(loss=0.25, metrics={'accuracy': 0.75})
    >>> to_result({"value": 12.5, "cost": 3}, ValueScale("maximize"))
    ObjectiveResult(loss=-12.5, metrics={'cost': 3})
    """
    try:
        return _convert(returned, scale)
    except InvalidResultError:
        raise
    except Exception as error:  # A method of the value's class, such as __float__, may raise any exception.
        raise InvalidResultError(
            f"the objective returned {_shown(returned)}, and the conversion of this value to a result raised"
            f" {_shown(error)}"
        ) from error


def _convert(returned: Any, scale: ValueScale) -> ObjectiveResult:
    if not isinstance(returned, dict):
        return ObjectiveResult(scale.loss(_finite(returned, "", scale)), {})
    keys = [key for key in ("value", "loss") if key in returned]
    if len(keys) > 1:
        raise InvalidResultError(
            f"the objective returned a dict with both 'value' and 'loss': {_shown(returned)}; keep the key that"
            " contains the result, and rename the other key"
        )
    if scale.is_maximised and keys != ["value"]:
        raise InvalidResultError(
            f"the objective returned a dict without 'value': {_shown(returned)}; the study maximises, so return the"
            " number to maximise under the key 'value'"
        )
    if not keys:
        raise InvalidResultError(f"the objective returned a dict without 'loss' or 'value': {_shown(returned)}")
    loss = scale.loss(_finite(returned[keys[0]], f" as {keys[0]!r}", scale))
    metrics = {name: value for name, value in returned.items() if name not in keys}
    way_out = "write large values to a file, and return the name of the file"
    return ObjectiveResult(loss, _checked(metrics, "returned", LARGEST_JSON, way_out))


def checked_metrics(metrics: Any) -> dict[str, Any]:
    """Return the metrics of a report as Python numbers.

    Parameters
    ----------
    metrics : mapping
        A number for the name of each metric. A number may be a NumPy scalar.

    Raises
    ------
    InvalidResultError
        `metrics` is not a mapping, a value is not a finite number, the metrics are too large, or a method of `metrics`
        raised an exception. The message is one line.

    Examples
    --------
    >>> checked_metrics({"accuracy": 0.75, "rows": 40})
    {'accuracy': 0.75, 'rows': 40}
    >>> checked_metrics({"accuracy": None})
    Traceback (most recent call last):
    ledger.objectives.result.InvalidResultError: the objective reported a metric 'accuracy' that is not a number: None
    """
    try:
        return _checked_numbers(metrics)
    except InvalidResultError:
        raise
    except Exception as error:  # A method of the mapping's class, such as __iter__, may raise any exception.
        raise InvalidResultError(
            f"the objective reported the metrics {_shown(metrics)}, and the check of these metrics raised"
            f" {_shown(error)}"
        ) from error


def _checked_numbers(metrics: Any) -> dict[str, Any]:
    if not isinstance(metrics, Mapping):
        raise InvalidResultError(f"the objective reported the metrics {_shown(metrics)}; give a dict with numbers")
    # A mapping may give other items at each call. Therefore the code reads the items once.
    given = dict(metrics)
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            fault = "a number"
        elif not _is_finite(value):
            fault = "a finite number"
        else:
            continue
        raise InvalidResultError(f"the objective reported a metric {_shown(name)} that is not {fault}: {_shown(value)}")
    return _checked(given, "reported", LARGEST_REPORT, "report fewer metrics")


def _is_finite(value: Any) -> bool:
    # math.isfinite raises OverflowError for an integer outside the range of a float.
    return bool(-math.inf < value < math.inf)


def _checked(given: Mapping[Any, Any], verb: str, largest: int, way_out: str) -> dict[str, Any]:
    """Return metrics as JSON values. `verb` says how the objective passed the metrics, for error messages."""
    metrics: dict[str, Any] = {}
    length = 0
    for name, value in given.items():
        if not isinstance(name, str):
            raise InvalidResultError(f"the objective {verb} a metric named {_shown(name)}; the name must be a string")
        text = _as_json(name, value, verb)
        metrics |= json.loads(text)
        length += len(text)
        if length > largest:
            break
    # The code has already checked each metric, so the only possible fault is that the metrics are too large in total.
    if json_fault(metrics, largest) is not None:
        raise InvalidResultError(
            f"the objective {verb} metrics of more than {largest:,} bytes as JSON (the metric {_shown(name)}"
            f" exceeds the limit); {way_out}"
        )
    return metrics


def _finite(value: Any, where: str, scale: ValueScale) -> float:
    # Python treats a bool as a number. However, a returned bool is probably a mistake, such as the result of a
    # comparison. Therefore the ledger refuses a bool as a value.
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        key = "value" if scale.is_maximised else "loss"
        wanted = "a finite number" if where else f"a finite number or a dict with {key!r}"
        raise InvalidResultError(f"the objective returned {_shown(value)}{where} ({_kind(value)}); return {wanted}")
    try:
        number = float(value)
    except (ArithmeticError, ValueError):  # An integer or a fraction may be outside the range of a float.
        number = math.inf
    if not math.isfinite(number):
        raise InvalidResultError(f"the objective returned {_shown(value)}{where}; return a finite number")
    return number


def _as_json(name: str, value: Any, verb: str) -> str:
    """Return a metric as a JSON object that Python and PostgreSQL's jsonb can read."""
    try:
        text = json.dumps({name: value}, default=_plain, allow_nan=False, ensure_ascii=False)
        fault = text_fault(name) or json_fault(json.loads(text, parse_int=_integer))
        if fault is not None:
            raise ValueError(fault)
    # The `try` block may raise any exception, because the block calls methods of the value's class.
    except Exception as error:
        raise InvalidResultError(
            f"the objective {verb} a metric {_shown(name)} that is not valid JSON: {_shown(value)} ({_reason(error)})"
        ) from error
    return text


def _integer(digits: str) -> int:
    # The objective may have changed this process's limit for the number of digits in an integer. Therefore the code
    # uses Python's default limit for the number of digits.
    if len(digits) > sys.int_info.default_max_str_digits:
        raise ValueError(f"the value contains an integer of {len(digits)} digits")
    return int(digits)


def _plain(value: Any) -> int | float:
    import numpy as np  # A worker's supervisor imports this module without NumPy.

    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{_kind(value)} is not a type of JSON")


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _reason(error: Exception) -> str:
    try:
        return one_line(str(error))
    except Exception:
        return _kind(error)


def _shown(value: Any) -> str:
    try:
        return one_line(repr(value))
    except Exception:  # The method __repr__ of a class may raise any exception.
        return f"a value of type {_kind(value)}"
