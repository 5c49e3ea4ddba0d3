"""Text of plots: numbers, values, and names that others wrote."""

import html
import json
from typing import Any

from ledger.text import one_line


def number(value: float, digits: int = 5) -> str:
    """Return a number with so many significant digits."""
    return f"{value:.{digits}g}"


def value(value: Any) -> str:
    """Return the value of a parameter: a text as it is, a float rounded, anything else as JSON."""
    return value if isinstance(value, str) else number(value) if isinstance(value, float) else json.dumps(value)


def plural(count: int, singular: str, several: str) -> str:
    """Return a count with the noun in its singular or plural.

    Examples
    --------
    >>> plural(1, "trial", "trials"), plural(1200, "trial", "trials")
    ('1 trial', '1,200 trials')
    """
    return f"{count:,} {singular if count == 1 else several}"


def escaped(text: str, longest: int) -> str:
    """Return text that Plotly shows unchanged, in one line and cut to `longest` characters.

    Plotly interprets HTML tags and entities, and TeX between dollar signs.
    """
    return html.escape(one_line(text, longest), quote=False).replace("$", "&#36;")
