"""Text and values that others wrote, as a line that a terminal shows as it is."""

import difflib
import json
from collections.abc import Iterable
from typing import Any


def one_line(text: str, longest: int = 200) -> str:
    """Return `text` on one line, what cannot be printed escaped as in a Python string, the middle cut out of it.

    Parameters
    ----------
    longest : int
        How many characters are kept, at least 5.
    """
    # the first cut is for speed; an escape is at most 10 characters long, so the second has enough to choose from
    line = " ".join(part.strip() for part in _cut(text, 10 * longest).splitlines() if part.strip())
    if not line.isprintable():
        line = "".join(one if one.isprintable() else _escaped(one) for one in line)
    return _cut(line, longest)


def last_line(text: str | None) -> str:
    """Return the last line of an error's text, which is what a person reads first."""
    lines = (text or "").strip().splitlines()
    return one_line(lines[-1]) if lines else "no reason was given"


def show(value: Any) -> str:
    """Return `value` as a message shows it: on one line, and not long."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (RecursionError, ValueError):  # tables within tables, or an integer too long for decimals
        text = f"a value of type {type(value).__name__}"
    return one_line(text, 80)


def nearest(word: Any, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown `word`: the nearest known one, or all of them."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(str(word).lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else f"; there are {', '.join(by_lower.values())}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    kept = longest - len("...")
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
