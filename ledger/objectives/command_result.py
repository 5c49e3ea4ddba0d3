"""Reads the result and the reports of a command.

The result is in standard output or in a file, and the reports are in standard output.

All bytes that a command writes are untrusted input.
"""

import json
import math
import os
import re
import stat
from typing import Any

from ledger.database.bounds import LARGEST_JSON, LARGEST_REPORT, LARGEST_STEP
from ledger.objectives.result import InvalidResultError
from ledger.text import one_line, show

# The ledger reads a result from the last `LARGEST_RESULT` bytes of standard output, or from a file of at most
# `LARGEST_RESULT` bytes. The JSON text that a program writes can contain spaces and escape sequences. Therefore the
# program's JSON text can be longer than the ledger's JSON text of the same metrics.
LARGEST_RESULT = 2 * LARGEST_JSON
_OUTPUT, _FILE = "standard output", "the result file"
# The pattern also matches texts that represent infinity or a missing number. For example, C prints "nan", and R prints
# "NA". A result that is not finite is an error. If the ledger ignored a line such as "nan", the ledger could wrongly
# use an earlier line as the result.
_NUMBER = re.compile(rb"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|(?i:nan|inf|infinity)|NA)")
_LINE_END = re.compile(rb"[\r\n]+")
# A line of a report has at most `LONGEST_REPORT` bytes. As in a result, the JSON text of the program can be longer than
# the ledger's JSON text of the same metrics.
LONGEST_REPORT = 2 * LARGEST_REPORT
_WANTED = 'a number or a JSON object with "value"'


class ReportParser:
    """A parser that finds the reports (intermediate values) that a running command prints to standard output.

    In the output, a report is a line with a JSON object that has the keys "step" and "value". The step is an integer
    from 0 to `LARGEST_STEP`, and the value is a number. The class ignores all lines that are not reports. A report can
    have the key "metrics". `Context.report` checks the metrics. In a report, the class ignores all other keys. A line
    ends with a line feed, a carriage return or both.

    Examples
    --------
    >>> lines = ReportParser()
    >>> lines.read(b'epoch 1\\n{"step": 1, "value": 0.5}\\n{"step": 2, "va')
    [(1, 0.5, None)]
    >>> lines.read(b'lue": 0.25, "metrics": {"accuracy": 0.9}}\\n0.25\\n')
    [(2, 0.25, {'accuracy': 0.9})]
    """

    def __init__(self) -> None:
        # The received bytes of an incomplete line. `_partial` contains at most `LONGEST_REPORT` + 1 bytes.
        self._partial = b""

    def read(self, data: bytes) -> list[tuple[int, float, Any]]:
        """Return the step, the value and the metrics of each report whose end is in `data`. `data` is the next part of
        the output. The metrics may be any JSON value, and are None without metrics.
        """
        first, *others = _LINE_END.split(data)
        lines = [self._partial + first, *others]
        self._partial = lines.pop()[: LONGEST_REPORT + 1]
        return [report for line in lines if (report := _report(line)) is not None]


def _report(line: bytes) -> tuple[int, float, Any] | None:
    # Most lines of the output are not reports. The test of the length and the test for "step" exclude most lines. The
    # test of the length and the test for "step" are much faster than the JSON parser.
    if len(line) > LONGEST_REPORT or b'"step"' not in line:
        return None
    try:
        content = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or type(step := content.get("step")) is not int:
        return None
    value = content.get("value")
    if not 0 <= step <= LARGEST_STEP or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return step, value, content.get("metrics")


def from_output(tail: bytes, size: int) -> dict[str, Any]:
    """Return the result that a command has printed.

    The result is in the last line that is a number or a JSON object with the key "value". A line ends with a line feed,
    a carriage return or both. The function ignores all lines that are not results.

    Parameters
    ----------
    tail : bytes
        The last bytes of standard output. If the whole output is longer than `tail`, `tail` has at least
        `LARGEST_RESULT` bytes.
    size : int
        The number of bytes in the whole output.

    Returns
    -------
    dict
        The value under the key "value", and the metrics. The values may be any JSON values.

    Raises
    ------
    InvalidResultError
        No line is a result, or the last result in the output has no finite number. The message is one line.

    Examples
    --------
    >>> from_output(b'epoch 1\\n{"value": 0.25, "epochs": 3}\\nbye\\n', 40)
    {'value': 0.25, 'epochs': 3}
    >>> from_output(b"0.5\\nnan", 7)
    Traceback (most recent call last):
    ledger.objectives.result.InvalidResultError: standard output ends with the result nan: print a finite number
    """
    lines = _LINE_END.split(tail)
    if len(tail) < size and len(lines) > 1:
        lines[0] = b""  # `tail` contains only the end of the first line.
    elif len(tail) < size:
        raise InvalidResultError(
            f"the last line of standard output has more than {LARGEST_RESULT:,} bytes: print {_WANTED} as the last line"
        )
    last = b""
    for line in reversed(lines):
        line = line.strip()
        last = last or line
        result = _result(line, _OUTPUT)
        if result is not None:
            return result
    found = f"the last line is {_shown(last)}" if last else "the output is empty"
    raise InvalidResultError(f"no line of standard output is {_WANTED}; {found}: print the result at the end")


def from_file(path: str) -> dict[str, Any] | None:
    """Return the result that a file contains, or None if the file does not exist.

    The file must contain only a number, or only a JSON object with the key "value".

    Returns
    -------
    dict or None
        The value under the key "value", and the metrics. The values may be any JSON values.

    Raises
    ------
    InvalidResultError
        The file contains no result, or the result has no finite number. The message is one line.
    """
    try:
        # The program can replace the file by a pipe, a device or a link. With O_NONBLOCK, os.open() does not wait for a
        # process that writes to the pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidResultError(f"{_FILE} cannot be read: {error.strerror}: write a regular file") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidResultError(f"{_FILE} is no regular file: write {_WANTED} into a regular file")
        content = b""
        while len(content) <= LARGEST_RESULT and (data := os.read(descriptor, LARGEST_RESULT)):
            content += data
    except OSError as error:
        raise InvalidResultError(f"{_FILE} cannot be read: {error.strerror}: write a regular file") from None
    finally:
        os.close(descriptor)
    if len(content) > LARGEST_RESULT:
        raise InvalidResultError(f"{_FILE} has more than {LARGEST_RESULT:,} bytes: write {_WANTED}")
    result = _result(content.strip(), _FILE)
    if result is None:
        raise InvalidResultError(f"{_FILE} is not {_WANTED}: it contains {_shown(content.strip())}")
    return result


def _result(text: bytes, place: str) -> dict[str, Any] | None:
    """Return the result that a text contains, or None if the text is not a result.

    The text must not begin or end with white space.
    """
    if _NUMBER.fullmatch(text):
        return {"value": _finite(float(text) if text != b"NA" else math.nan, _shown(text), place)}
    if not text.startswith(b"{"):
        return None
    try:
        content = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        if b"value" not in text:
            return None
        reason = "too many nested levels" if isinstance(error, RecursionError) else one_line(str(error))
        raise InvalidResultError(
            f'{place} ends with {_shown(text)}, which is not valid JSON ({reason}): print JSON with the key "value"'
        ) from None
    if not isinstance(content, dict) or "value" not in content:
        return None
    value = content.pop("value")
    if type(value) not in (int, float):
        raise InvalidResultError(f'{place} ends with a result whose "value" is {show(value)}: print a finite number')
    if "loss" in content:
        raise InvalidResultError(f'{place} ends with a result that has "value" and "loss": rename the metric "loss"')
    return {"value": _finite(value, show(value), place), **content}


def _finite(value: float, shown: str, place: str) -> float:
    try:
        number = float(value)
    except OverflowError:  # The integer is outside the range of a float.
        number = math.inf
    if not math.isfinite(number):
        raise InvalidResultError(f"{place} ends with the result {shown}: print a finite number")
    return number


def _shown(text: bytes) -> str:
    return one_line(text[:2_000].decode(errors="replace"), 80)
