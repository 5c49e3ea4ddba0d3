"""Parameters as text that a person pastes into a program or a file, and that reads as exactly these parameters."""

from collections.abc import Mapping
from typing import Any


def as_python(params: Mapping[str, Any]) -> str:
    """Return the parameters as a Python dict, in lines of one parameter each where there are several."""
    lines = [f"{name!r}: {value!r}" for name, value in params.items()]
    if len(lines) < 2:
        return "{" + "".join(lines) + "}"
    return "{\n" + "".join(f"    {line},\n" for line in lines) + "}"


def as_toml(params: Mapping[str, Any]) -> str:
    """Return the parameters as TOML, a line each."""
    import tomli_w

    # what a terminal would not show as it is stands in a string, where TOML has an escape for it
    return "".join(one if one == "\n" or one.isprintable() else _escape(one) for one in tomli_w.dumps(params)).rstrip()


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
