"""Points of a study's space as people write them: PARAMETER=VALUE on a command line, or JSON, a point a line."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ledger.errors import UsageError
from ledger.study.space import Space
from ledger.text import show


def read_pairs(space: Space, pairs: Iterable[str]) -> list[dict[str, Any]]:
    """Return the one point that `pairs` say, each a ``PARAMETER=VALUE``.

    Raises
    ------
    UsageError
        Something is wrong with one of them: one line with the parameter, its value and what is allowed.
    """
    texts: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"{show(pair)} is not PARAMETER=VALUE; write C=1.0")
        if name in texts:
            raise UsageError(f"parameter {name!r} has two values, {show(texts[name])} and {show(text)}; leave one out")
        texts[name] = text
    return [space.parse(texts)]


def read_lines(space: Space, place: str, content: bytes) -> list[dict[str, Any]]:
    """Return the points of a file, each a JSON object on a line of its own; empty lines are passed by.

    Parameters
    ----------
    place : str
        The file's name, for messages.

    Raises
    ------
    UsageError
        Something is wrong with a line, or there is none: one line with its place.
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
            raise UsageError(f"{place}:{number}: the point of line {earlier} again; leave one out")
        points.append(point)
    if not points:
        raise UsageError(f'{place}: no points; write one a line, as in {{"C": 1.0}}')
    return points


def point_key(point: Mapping[str, Any]) -> str:
    """Return a text that two points of `Space.normalise` share where they are the same."""
    return json.dumps(point, sort_keys=True)


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'not JSON ({error}); write a point a line, as in {{"C": 1.0}}') from None
    if not isinstance(value, dict):
        raise ValueError(f"{show(value)} is not an object from parameters to values")
    return value
