"""What an objective returned, judged: a finite loss with metrics that the ledger can hold, or why it is not one."""

import json
import math
import numbers
import re
from dataclasses import dataclass
from typing import Any

from ledger.errors import LedgerError

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class ObjectiveError(LedgerError):
    """The objective returned what is not a result: a failed attempt."""


@dataclass(frozen=True)
class Result:
    """The outcome of one attempt.

    Attributes
    ----------
    loss : float
        Finite; smaller is better.
    metrics : dict of str to JSON values
        Whatever else the objective reported.
    """

    loss: float
    metrics: dict[str, Any]


def to_result(returned: Any) -> Result:
    """Judge what an objective returned.

    Parameters
    ----------
    returned : real number, or dict
        Any type of real number but bool, NumPy's scalars included. A dict holds it under "loss"; its other entries
        are the metrics, where NumPy's scalars become plain numbers.

    Raises
    ------
    ObjectiveError
        It is something else, the loss is not finite, or a metric cannot be kept as JSON. One line.
    """
    if not isinstance(returned, dict):
        return Result(_loss(returned, ""), {})
    if "loss" not in returned:
        raise ObjectiveError(f"the objective returned a dict without 'loss': {_shown(returned)}")
    loss = _loss(returned["loss"], " as 'loss'")
    metrics: dict[str, Any] = {}
    for name, value in returned.items():
        if not isinstance(name, str):
            raise ObjectiveError(f"the objective returned a metric named {_shown(name)}, a string is needed")
        if name != "loss":
            metrics |= _as_json(name, value)
    return Result(loss, metrics)


def one_line(text: str) -> str:
    """Return `text` on one line of at most 200 characters."""
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:197] + "..."


def _loss(value: Any, where: str) -> float:
    # bool is a number to Python, and a comparison returned by mistake to everybody else
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        wanted = "a finite number" if where else "a finite number, or a dict with 'loss',"
        raise ObjectiveError(f"the objective returned {_shown(value)}{where} ({_kind(value)}), {wanted} is needed")
    try:
        loss = float(value)
    except (ArithmeticError, TypeError, ValueError):  # an integer or a fraction beyond the range of a float
        loss = math.inf
    if not math.isfinite(loss):
        raise ObjectiveError(f"the objective returned {_shown(value)}{where}, a finite number is needed")
    return loss


def _as_json(name: str, value: Any) -> dict[str, Any]:
    try:
        text = json.dumps({name: value}, default=_plain, allow_nan=False, ensure_ascii=False)
        text.encode()
        if _NUL.search(text):
            raise ValueError("it holds a NUL character")
        decoded: dict[str, Any] = json.loads(text)
    # PostgreSQL's jsonb holds neither NUL nor a lone surrogate, which is a UnicodeEncodeError and so a ValueError
    except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
        reason = one_line(str(error))
        raise ObjectiveError(
            f"the objective returned a metric {_shown(name)} that JSON cannot hold: {_shown(value)} ({reason})"
        ) from error
    return decoded


def _plain(value: Any) -> int | float:
    import numpy as np  # here, because whoever imports this module need not have NumPy loaded

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


def _shown(value: Any) -> str:
    try:
        # backslashreplace: a lone surrogate in it could be neither logged nor stored
        return one_line(repr(value)).encode(errors="backslashreplace").decode()
    except Exception:  # somebody else's __repr__ may raise anything
        return f"a value of type {_kind(value)}"
