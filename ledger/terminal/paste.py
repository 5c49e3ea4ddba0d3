"""Formats parameters as text to paste into a Python program or a TOML file.

A program that reads the text gets exactly the values of the parameters.
"""

import json
from collections.abc import Mapping
from typing import Any


def as_python(params: Mapping[str, Any]) -> str:
    """Return the parameters as the text of a Python dict.

    If there are several parameters, each parameter has its own line.

    Examples
    --------
    >>> print(as_python({"C": 1.5, "kernel": "rbf"}))
    {
        'C': 1.5,
        'kernel': 'rbf',
    }
    """
    lines = [f"{name!r}: {value!r}" for name, value in params.items()]
    if len(lines) < 2:
        return "{" + "".join(lines) + "}"
    return "{\n" + "".join(f"    {line},\n" for line in lines) + "}"


def as_toml(params: Mapping[str, Any]) -> str:
    """Return the parameters as TOML.

    TOML has no null. If the value of a parameter contains null, the TOML text contains a comment instead of the
    parameter. The comment contains the value as JSON.

    Examples
    --------
    >>> print(as_toml({"C": 1.5, "depth": None, "kernel": "rbf"}))
    # depth = null (TOML has no null)
    C = 1.5
    kernel = "rbf"
    """
    import tomli_w

    without = {name: value for name, value in params.items() if not _contains_none(value)}
    comments = "".join(
        f"# {name if name.isidentifier() else json.dumps(name)} = {json.dumps(value)} (TOML has no null)\n"
        for name, value in params.items()
        if name not in without
    )

    # Outside strings, the only unprintable characters in the TOML text are line feeds. Inside a TOML string, an escape
    # sequence can represent an unprintable character.
    return (
        comments
        + "".join(
            character if character == "\n" or character.isprintable() else _escape(character)
            for character in tomli_w.dumps(without)
        ).rstrip()
    )


def _contains_none(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_contains_none, value.values()))
    return any(map(_contains_none, value)) if isinstance(value, list | tuple) else value is None


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
