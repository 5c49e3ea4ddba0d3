"""Formatting of text and values for messages."""

import difflib
import itertools
import json
import signal
from collections.abc import Iterable
from typing import Any

_MOST_WORDS = 500
_LONGEST_WORD = 1_000
_LONGEST_LIST = 5_000


def one_line(text: str, longest: int = 200) -> str:
    """Return `text` as one printable line. If the text is too long, the function replaces the middle of the text with
    "...".

    Parameters
    ----------
    text : str
        The text to format. The function replaces each unprintable character by the escape sequence of a Python string.
    longest : int
        Maximum number of characters in the line. `longest` must be 5 or more.

    Examples
    --------
    >>> one_line("two\\nlines, one \\x1b")
    'two lines, one \\\\x1b'
    >>> one_line("abcdefghij", longest=8)
    'abc...ij'
    """
    # The first call of `_cut` shortens a very long text, so that `splitlines` is fast. The second call of `_cut` limits
    # the length of the returned line.
    line = " ".join(part.strip() for part in _cut(text, 10 * longest).splitlines() if part.strip())
    return _cut(printable(line), longest)


def printable(text: str) -> str:
    """Return `text` with escape sequences instead of unprintable characters. The function does not escape line feeds.

    Examples
    --------
    >>> printable("\\x1b[31mred") == r"\\x1b[31mred"
    True
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else _escaped(one) for one in text)


def printable_line(line: str, longest: int = 1_000) -> str:
    """Replace a line's indentation by spaces, and the line's unprintable characters by escape sequences.

    Examples
    --------
    >>> printable_line("\\tx = 1\\x1b")
    ' x = 1\\\\x1b'
    """
    return " " * min(len(line) - len(line.lstrip()), longest) + one_line(line, longest)


def last_line(text: str | None) -> str:
    """Return the last line of an error's text. The last line of a traceback summarises the error."""
    lines = (text or "").strip().splitlines()
    return one_line(lines[-1]) if lines else "no reason was given"


def show(value: Any) -> str:
    """Return `value` as JSON on one line, with at most 80 characters."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (RecursionError, ValueError):  # The value is nested too deeply, or contains an integer with too many digits.
        text = f"a value of type {type(value).__name__}"
    return one_line(text, 80)


def nearest(word: Any, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown word.

    The returned text suggests the known word that is nearest to the unknown word. If no known word is similar to the
    unknown word, the returned text lists the known words.

    The function uses at most the first `_MOST_WORDS` known words, because a data file may have a hundred thousand
    column names.

    Examples
    --------
    >>> nearest("svn", ["svm", "xgb"])
    "; did you mean 'svm'?"
    >>> nearest("forest", ["svm", "xgb"])
    '; there are svm, xgb'
    """
    names = iter(known)
    by_lower = {name.lower(): name for name in itertools.islice(names, _MOST_WORDS)}
    near = difflib.get_close_matches(str(word).lower()[:_LONGEST_WORD], by_lower, n=1)
    if near:
        return f"; did you mean {by_lower[near[0]]!r}?"
    others = ", and others" if next(names, None) is not None else ""
    return f"; there are {one_line(', '.join(by_lower.values()), _LONGEST_LIST)}{others}"


def words(text: str) -> frozenset[str]:
    """Split a text at its white space, and return the set of the text's words."""
    return frozenset(text.split())


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    kept = longest - len("...")
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def signal_name(number: int) -> str:
    """Return the name of a signal. If the signal has no name (a real-time signal), return the number as text.

    Examples
    --------
    >>> signal_name(9), signal_name(40)
    ('SIGKILL', '40')
    """
    return signal.Signals(number).name if number in set(signal.Signals) else str(number)
