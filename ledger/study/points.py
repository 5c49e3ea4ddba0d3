"""Reads points of a study's space from PARAMETER=VALUE pairs, or from JSON with one point on each line."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ledger.errors import UsageError
from ledger.study.space import Space
from ledger.text import show


def read_pairs(space: Space, pairs: Iterable[str]) -> list[dict[str, Any]]:
    """Return a list with one point. The ``PARAMETER=VALUE`` pairs describe the point.

    Parameters
    ----------
    space : Space
        The space of the point.
    pairs : iterable of str
        One pair for each parameter of the space.

    Raises
    ------
    UsageError
        A pair is not valid, or a pair is missing. The error message contains the name of the parameter, the wrong value
        and the allowed values.

    Examples
    --------
    >>> space = Space.from_toml({"C": {"type": "real", "low": 0.1, "high": 10.0}})
    >>> read_pairs(space, ["C=2"])
    [{'C': 2.0}]
    """
    texts: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"{show(pair)} does not have the form PARAMETER=VALUE; write a pair such as C=1.0")
        if name in texts:
            raise UsageError(
                f"parameter {name!r} has two values, {show(texts[name])} and {show(text)}; remove one of them"
            )
        texts[name] = text
    return [space.parse(texts)]


def read_lines(space: Space, place: str, content: bytes) -> list[dict[str, Any]]:
    """Return the points of a file with one JSON object on each line. Empty lines are skipped.

    Parameters
    ----------
    space : Space
        The space of the points.
    place : str
        The name of the file. Error messages begin with the name of the file.
    content : bytes
        The content of the file, in UTF-8.

    Raises
    ------
    UsageError
        A line is not valid, or the file has no point. The error message names the file and the line.

    Examples
    --------
    >>> space = Space.from_toml({"C": {"type": "real", "low": 0.1, "high": 10.0}})
    >>> read_lines(space, "points.jsonl", b'{"C": 2}\\n{"C": 3}')
    [{'C': 2.0}, {'C': 3.0}]
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{place}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    points: list[dict[str, Any]] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            point = space.normalise(_object(line))
        except (UsageError, ValueError) as error:
            raise UsageError(f"{place}:{number}: {error}") from None
        earlier = lines.setdefault(point_key(point), number)
        if earlier != number:
            raise UsageError(
                f"{place}:{number}: the point is the same as in line {earlier}; remove one of the two lines"
            )
        points.append(point)
    if not points:
        raise UsageError(f'{place}: the file has no points; write one point on each line, such as {{"C": 1.0}}')
    return points


def point_key(point: Mapping[str, Any]) -> str:
    """Return a text that identifies a point.

    The point must be a result of `Space.normalise`. Two points have the same text if and only if the points are equal.

    Examples
    --------
    >>> point_key({"b": 1, "a": 2.0}) == point_key({"a": 2.0, "b": 1})
    True
    """
    return json.dumps(point, sort_keys=True)


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'not JSON ({error}); write one point on each line, such as {{"C": 1.0}}') from None
    if not isinstance(value, dict):
        raise ValueError(f"{show(value)} is not a JSON object with a value for each parameter")
    return value
