"""Strategies for fuzzed input, and a function that runs the program in this process."""

import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from datetime import date, datetime, time
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st

from ledger.cli import main
from tests import variables
from tests.process_state import restored

# a message may quote a value, but must not fill the screen with it
LONGEST_MESSAGE = 2_000


def cases(number: int) -> settings:
    """Return settings for `number` examples; a campaign tries more of them (tests/conftest.py)."""
    return settings(max_examples=number * settings().max_examples // 100)


odd_texts = st.sampled_from(
    [
        *("", " ", "\n", "a\nb", "a\r\nledger: forged", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J", "\x7f"),
        *(
            "\u2028",
            "\u202eevil",
            "\u200b",
            "é",
            "e\u0301",
            "🦊",
            "Ω" * 300,
            "x" * 100_000,
            "9" * 5_000,
            "-1",
            "--",
            "-",
        ),
        *("0", "1e3", "nan", "inf", "1_0", "٣", "0x10", "None", "null", "%s", "%(x)s", "{0}", "{}", "'", '"', "\\"),
        *("; drop table ledger.study", "../..", "/", "a=b", "a:b", "..", "~", "svm", "SVM", "GP", "gp_hedge", "EI"),
    ]
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40) | odd_texts
# arguments of a shell: all bytes except NUL; Python represents invalid UTF-8 by lone surrogates
arguments = texts | st.binary(max_size=20).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))


def run(words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run the program with only the variables of `environment`. Returns exit code, standard output and error."""
    # the variables that libpq reads would also change the database
    ours = {
        name: value for name, value in os.environ.items() if name not in variables.ALL and not name.startswith("PG")
    }
    out, error = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    with (
        restored(),
        mock.patch.dict(os.environ, {**ours, **environment}, clear=True),
        mock.patch.object(sys, "argv", ["ledger", *words]),
        redirect_stdout(out),
        redirect_stderr(error),
    ):
        code: Any = None
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    written = []
    for stream in (out, error):
        stream.flush()
        written.append(stream.buffer.getvalue().decode())
    return code, written[0], written[1]


def check_told(code: int, error: str) -> None:
    """An error is one line that a terminal shows as it is, and the exit code says whether the usage was wrong.

    Before it there may be the log line of the settings from the environment.
    """
    assert code in (1, 2), error
    assert error.endswith("\n")
    *logged, told = error.removesuffix("\n").split("\n")
    assert told.startswith("ledger: "), error
    check_line(told)
    assert all("settings from the environment: " in line and line.isprintable() for line in logged[:1]), error
    assert len(logged) <= (code == 1), error


def check_line(message: str) -> None:
    assert message.isprintable(), repr(message)
    assert len(message) <= LONGEST_MESSAGE


class Verbatim(str):
    """Text of a TOML value, which may be one that Python would not write."""


def toml(document: Mapping[str, Any]) -> str:
    """Return a document as TOML with the values of its tables inline."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for name, table in document.items():
        if isinstance(table, dict):
            lines += [f"[{_key(name)}]", *(f"{_key(key)} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines)


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Verbatim):
        return value
    if isinstance(value, str):
        return _key(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return repr(value)
