"""The bounds of the values that a ledger accepts.

Only the file sql/functions/bounds.sql defines the bounds. This module reads the bounds from the file
sql/functions/bounds.sql. A client in Python checks the bounds of a value before the client sends the value. The SQL
functions in sql/functions/faults.sql also check these bounds. Therefore the bounds apply to clients in any language.
"""

import json
import math
import re
import sys
from datetime import datetime
from decimal import Decimal

from ledger.resources import folder
from ledger.text import show

_BOUND = re.compile(
    r"^create or replace function ledger\.(\w+)\(\) returns \w+\n.*\nreturn (?:timestamptz )?([^;]+);", re.MULTILINE
)
_BOUNDS = dict(_BOUND.findall((folder("sql") / "functions" / "bounds.sql").read_text()))

# Maximum lengths of a name, of an error, of an attempt's output and of a source text, in characters.
LONGEST_NAME = int(_BOUNDS["longest_name"])
LONGEST_ERROR = int(_BOUNDS["longest_error"])
LONGEST_OUTPUT = int(_BOUNDS["longest_output"])
LONGEST_SOURCE = int(_BOUNDS["longest_source"])
# Limits for the annotation of a study or a trial. A tag and the note have a maximum length in characters. An annotation
# has a maximum number of tags and a maximum number of attributes. The attributes have a maximum size in bytes.
LONGEST_TAG = int(_BOUNDS["longest_tag"])
LONGEST_NOTE = int(_BOUNDS["longest_note"])
MOST_TAGS = int(_BOUNDS["most_tags"])
MOST_ATTRIBUTES = int(_BOUNDS["most_attributes"])
LARGEST_ATTRIBUTES = int(_BOUNDS["largest_attributes"])
# Bounds of artifacts. An artifact's name has a maximum length in characters. An attempt has a maximum number of
# artifacts. An artifact in the ledger's database and an artifact in a store have different maximum sizes. All sizes,
# such as the size of a piece, are in bytes.
LONGEST_ARTIFACT_NAME = int(_BOUNDS["longest_artifact_name"])
MOST_ARTIFACTS = int(_BOUNDS["most_artifacts"])
LARGEST_KEPT_ARTIFACT = int(_BOUNDS["largest_kept_artifact"])
LARGEST_ARTIFACT = int(_BOUNDS["largest_artifact"])
ARTIFACT_PIECE = int(_BOUNDS["artifact_piece_size"])
# Maximum sizes of a JSON document in bytes. The size of a document is the size of the text to which PostgreSQL converts
# the document.
LARGEST_JSON = int(_BOUNDS["largest_json"])
LARGEST_VERSIONS = int(_BOUNDS["largest_versions"])
# Limits for the reports of trials. The limits are the maximum number of steps in one call, the maximum number of steps
# of one attempt, the largest step, and the maximum size, in bytes, of the metrics of one report.
MOST_REPORTS_OF_CALL = int(_BOUNDS["most_reports_of_call"])
MOST_REPORTS = int(_BOUNDS["most_reports"])
LARGEST_STEP = int(_BOUNDS["largest_step"])
LARGEST_REPORT = int(_BOUNDS["largest_report"])
# Maximum nesting depth of a value in a JSON document.
DEEPEST_JSON = int(_BOUNDS["deepest_json"])
# Maximum batch size of a study, in trials.
LARGEST_BATCH = int(_BOUNDS["largest_batch"])
LONGEST_SECONDS = float(_BOUNDS["longest_seconds"])
# Each recorded time is at or after EARLIEST_MOMENT, and before LATEST_MOMENT.
EARLIEST_MOMENT, LATEST_MOMENT = (
    datetime.fromisoformat(_BOUNDS[name].strip("'")) for name in ("earliest_moment", "latest_moment")
)

_ARTIFACT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_DEVICE_OF_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def json_fault(value: object, largest: int = LARGEST_JSON) -> str | None:
    """Return a description of the fault of a JSON document, or None if the ledger accepts the document.

    Parameters
    ----------
    value : JSON value
        The document to check. The document may contain integers of any size. The function returns a fault for an
        integer beyond the range of a double.
    largest : int
        The maximum size of the document, in bytes.

    Examples
    --------
    >>> json_fault({"accuracy": 0.5})
    >>> json_fault({"accuracy": 10**400})
    'a number beyond the range of a double (1.7976931348623157e308) is not allowed; write it as a text'
    """
    extra = 0
    left = [(value, 0)]
    while left:
        item, depth = left.pop()
        if depth > DEEPEST_JSON:
            return f"JSON with more than {DEEPEST_JSON} nested levels is not allowed; use fewer levels"
        if isinstance(item, dict):
            for name, inner in item.items():
                left += [(name, depth), (inner, depth + 1)]
        elif isinstance(item, list):
            left += [(inner, depth + 1) for inner in item]
        elif isinstance(item, str):
            fault = text_fault(item, sys.maxsize)
            if fault is not None:
                return fault
        elif isinstance(item, int | float):
            if not abs(item) <= sys.float_info.max:
                return (
                    "a number beyond the range of a double (1.7976931348623157e308) is not allowed; write it as a text"
                )
            if isinstance(item, float):
                # PostgreSQL writes every number in a JSON document without an exponent. PostgreSQL's text of a number
                # can therefore be longer than Python's text of the same number.
                extra += len(format(Decimal(repr(item)), "f")) - len(repr(item))
    if extra + len(json.dumps(value, ensure_ascii=False).encode()) > largest:
        return (
            f"more than {largest} bytes of JSON are not allowed; store large values in a file, and record the name of"
            " the file"
        )
    return None


def text_fault(text: str, longest: int = LONGEST_NAME) -> str | None:
    """Return a description of the fault of a text, or None if the ledger accepts the text.

    Examples
    --------
    >>> text_fault("a name")
    >>> text_fault("a" * 301)
    'a text of 301 characters is too long; shorten the text to at most 300 characters'
    """
    if len(text) > longest:
        return f"a text of {len(text)} characters is too long; shorten the text to at most {longest} characters"
    if "\0" in text:
        return "a NUL character is not allowed, because PostgreSQL cannot store it; remove the character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "an unpaired UTF-16 surrogate is not allowed, because UTF-8 cannot encode it; remove the surrogate"
    return None


def artifact_name_fault(name: object) -> str | None:
    """Return a description of the fault of an artifact's name, or None if the ledger accepts the name.

    A comment in the SQL function ledger.artifact_name_fault gives the reasons for the rules.

    Examples
    --------
    >>> artifact_name_fault("model-3.bin")
    >>> artifact_name_fault("../model.bin")
    'the name "../model.bin" is not valid; use 1 to 100 letters (A-Z, a-z), digits, dots, underscores and hyphens, and \
begin with a letter, a digit or an underscore'
    >>> artifact_name_fault("nul.bin")
    'Windows allows no file with the name "nul.bin"; choose another name'
    """
    if not isinstance(name, str) or not _ARTIFACT_NAME.fullmatch(name) or len(name) > LONGEST_ARTIFACT_NAME:
        return (
            f"the name {show(name)} is not valid; use 1 to {LONGEST_ARTIFACT_NAME} letters (A-Z, a-z), digits, dots,"
            " underscores and hyphens, and begin with a letter, a digit or an underscore"
        )
    if name.endswith(".") or _DEVICE_OF_WINDOWS.fullmatch(name):
        return f"Windows allows no file with the name {show(name)}; choose another name"
    return None


def seconds_fault(seconds: float) -> str | None:
    """Return a description of the fault of a duration, or None if the ledger accepts the duration.

    Examples
    --------
    >>> seconds_fault(0.5)
    >>> seconds_fault(-0.5)
    '-0.5 is not a plausible duration; give seconds from 0 to 1e+09'
    """
    if 0 <= seconds <= LONGEST_SECONDS:
        return None
    return f"{seconds} is not a plausible duration; give seconds from 0 to {LONGEST_SECONDS:g}"


def moment_fault(moment: datetime) -> str | None:
    """Return a description of the fault of a time with a time zone, or None if the ledger accepts the time.

    Examples
    --------
    >>> moment_fault(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    >>> moment_fault(datetime.fromisoformat("0001-01-01T00:00:00+00:00"))
    '0001-01-01T00:00:00+00:00 is not a plausible time; the ledger records times from 1970 to 2199'
    """
    if EARLIEST_MOMENT <= moment < LATEST_MOMENT:
        return None
    years = f"{EARLIEST_MOMENT.year} to {LATEST_MOMENT.year - 1}"
    return f"{moment.isoformat()} is not a plausible time; the ledger records times from {years}"


def loss_fault(loss: float) -> str | None:
    """Return a description of the fault of a loss, or None if the ledger accepts the loss.

    Examples
    --------
    >>> loss_fault(math.nan)
    'nan is not a finite number'
    """
    return None if math.isfinite(loss) else f"{loss} is not a finite number"


def shortened(error: str) -> str:
    """Return the text of an error, shortened to the length that the ledger accepts.

    If the text is too long, the function leaves out the middle of the text. For clients that are not written in Python,
    the SQL function `ledger.shortened` shortens the texts of errors.

    Examples
    --------
    >>> shortened("ValueError")
    'ValueError'
    >>> len(shortened("x" * 100_000)) <= LONGEST_ERROR
    True
    """
    if len(error) <= LONGEST_ERROR:
        return error
    kept = LONGEST_ERROR // 2 - 50
    return f"{error[:kept]}\n[{len(error) - 2 * kept} characters are left out here]\n{error[-kept:]}"
