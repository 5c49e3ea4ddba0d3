"""Mutations of JSON and TOML documents. Mutated bytes of a document are seldom a document again."""

import copy
import json
import random
import tomllib
from collections.abc import Callable
from typing import Any

from tests.fuzz import toml

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 10**400, 0.0, -0.0, 1e-320, 1e308, -1e308, 0.5),
    *("", " ", "\n", "\x00", "\x1b[31m", "\ud800", "\u202e", "9" * 400, "nan", "=1", "../..", "svm", "GP", "a:b"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00+00:00", "2026-01-01"),
    *([], {}, [[]], [None], {"": 0}, {"type": "real", "low": 0, "high": 1}),
]


def mutate_json(content: bytes, longest: int, seed: int) -> bytes | None:
    """Return a changed JSON document, or None if the content is not JSON or the result is too long."""
    return _mutate(content, longest, seed, json.loads, json.dumps)


def mutate_lines(content: bytes, longest: int, seed: int) -> bytes | None:
    """Return lines of JSON of which one line is changed, or None."""
    lines = content.split(b"\n")
    chosen = random.Random(seed)
    index = chosen.randrange(len(lines))
    changed = mutate_json(lines[index], longest, chosen.getrandbits(32))
    if changed is None:
        return None
    result = b"\n".join([*lines[:index], changed, *lines[index + 1 :]])
    return result if len(result) <= longest else None


def mutate_toml(content: bytes, longest: int, seed: int) -> bytes | None:
    """Return a changed TOML document, or None if the content is not TOML or the result is too long."""
    return _mutate(content, longest, seed, tomllib.loads, toml)


def _mutate(
    content: bytes, longest: int, seed: int, load: Callable[[str], Any], dump: Callable[[Any], str]
) -> bytes | None:
    try:
        value = load(content.decode())
        chosen = random.Random(seed)
        for _ in range(chosen.choice((1, 1, 1, 2, 4))):
            value = _change(value, chosen)
        result = dump(value).encode()
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None
    return result if len(result) <= longest else None


def _change(value: Any, chosen: random.Random) -> Any:
    """Return `value` with a change at one place, which is chosen from all places with a similar probability."""
    children = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if children and chosen.random() < 0.9:
        key = chosen.choice(children)
        action = chosen.random()
        if action < 0.75:
            value[key] = _change(value[key], chosen)
        elif action < 0.85:
            del value[key]
        elif isinstance(value, list):
            value.insert(chosen.randrange(len(value) + 1), copy.deepcopy(value[key]))
        else:
            value[chosen.choice([str(key) + "x", str(key).upper(), "", *map(str, children)])] = copy.deepcopy(
                value[key]
            )
        return value
    if isinstance(value, int | float) and chosen.random() < 0.5:
        return chosen.choice([value + 1, value - 1, -value, value * 2, float(value), str(value)])
    return copy.deepcopy(chosen.choice(ODD))
