"""Text labels of plots. The labels show numbers, values of parameters, and names that users have chosen."""

import html
import json
from typing import Any

from ledger.text import one_line


def number(value: float, digits: int = 5) -> str:
    """Return a number as text, rounded to `digits` significant digits."""
    return f"{value:.{digits}g}"


def value(value: Any) -> str:
    """Return a parameter's value as text.

    A string is unchanged, a float is rounded, and any other value becomes JSON.
    """
    return value if isinstance(value, str) else number(value) if isinstance(value, float) else json.dumps(value)


def plural(count: int, singular: str, several: str) -> str:
    """Return a count, followed by the noun in the singular or the plural.

    Examples
    --------
    >>> plural(1, "trial", "trials"), plural(1200, "trial", "trials")
    ('1 trial', '1,200 trials')
    """
    return f"{count:,} {singular if count == 1 else several}"


def escaped(text: str, longest: int) -> str:
    """Return `text` as one line of at most `longest` characters, escaped for Plotly.

    The function escapes the text, because Plotly interprets HTML tags, HTML entities, and TeX between dollar signs.
    """
    return html.escape(one_line(text, longest), quote=False).replace("$", "&#36;")
