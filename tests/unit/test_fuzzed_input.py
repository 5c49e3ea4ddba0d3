"""Any study file, variable, option or result of an objective is accepted or refused in one line, never a traceback."""

import copy
import functools
import itertools
import json
import math
import os
import re
import sys
from datetime import time
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.cli import program
from ledger.errors import UsageError
from ledger.objectives import InvalidResultError
from ledger.objectives.result import to_result
from ledger.study.file import assemble, workers
from ledger.study.spec import StudySpec
from tests.fuzz import Verbatim, arguments, cases, check_line, check_told, odd_texts, run, texts, toml
from tests.unit.test_space import jsonb

# no error shows the largest cases
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
NOWHERE = {"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/nowhere"}

FILE = {
    "study": {"name": "mine", "seed": 7, "iterations": 5, "batch_size": 4, "workers": 3},
    "objective": {"model": "svm", "dataset": "wine"},
    "space": {
        "C": {"type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform", "default": 1.0},
        "degree": {"type": "integer", "low": 1, "high": 9},
        "kernel": {"type": "categorical", "choices": ["rbf", "poly"], "default": "poly"},
    },
    "optimizer": {"base_estimator": "RF", "acq_func": "LCB", "kappa": 2.0, "xi": 0.1},
    "limits": {"max_failures": 2, "max_lost": 5, "lease": 60, "heartbeat": 5.0, "trial_timeout": 300},
}
OBJECTIVES: list[dict[str, Any]] = [
    {"function": "own.code:loss"},
    {"command": ["./train", "--C={C}", "{degree}", "{kernel}"]},
    {"estimator": "sklearn.svm:SVC", "task": "classification", "params": {"tol": 1e-4}, "cv": 3, "repeats": 2},
    {
        "steps": {"scale": "sklearn.preprocessing:StandardScaler", "svr": "sklearn.svm:SVR"},
        "dataset": "diabetes",
        "metric": "neg_mean_absolute_error",
    },
    {"model": "xgb", "class_weights": {"0": 1.0, "1": 2.5}, "params": {"n_estimators": 5}},
]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.touch()  # a file, so that no server is started in it
    monkeypatch.setenv("LEDGER_HOME", str(home))
    monkeypatch.chdir(tmp_path)


# Study files

HUGE = Verbatim("0x" + "f" * 5_000)  # more digits than Python writes as a decimal
extremes = st.sampled_from(
    [
        *(0, -1, 1, 2**31, 2**53, 2**53 + 1, 2**63, 2**64, 10**400, -(10**400), 10**4_000, HUGE),
        *(0.0, -0.0, 5e-324, 1e-300, 1e16, 1e308, 1.8e308, -1e308, math.nan, math.inf, -math.inf),
    ]
)
values = st.recursive(
    st.booleans() | st.integers() | st.floats() | extremes | texts | st.just("\0") | st.dates() | st.just(time(1, 2)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
dimensions = st.fixed_dictionaries(
    {"type": st.sampled_from(["real", "integer", "categorical"])},
    optional={
        "low": values | st.integers(-9, 9),
        "high": values | st.integers(-9, 9),
        "prior": st.sampled_from(["uniform", "log-uniform", "normal"]) | values,
        "choices": st.lists(values, max_size=5) | values,
        "default": values | st.integers(-9, 9),
    },
)
near_names = st.sampled_from(
    ["study", "Study", "stduy", "spaces", "C", "c", "C ", " C", "K", "K", "gamma", "gama", "low"]
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid file, changed in one to three places."""
    file: dict[str, Any] = copy.deepcopy(FILE)
    words = st.lists(texts | st.sampled_from(["{C}", "{degree}", "{kernel}", "{trial.seed}"]), max_size=5)
    objectives = [file["objective"], *OBJECTIVES, {"command": draw(words)}]
    file["objective"] = copy.deepcopy(draw(st.sampled_from(objectives)))
    for _ in range(draw(st.integers(1, 3))):
        tables = [file, *(table for table in file.values() if isinstance(table, dict))]
        if isinstance(file.get("objective"), dict):
            tables += [inner for inner in file["objective"].values() if isinstance(inner, dict)]
        tables += (
            [d for d in file["space"].values() if isinstance(d, dict)] if isinstance(file.get("space"), dict) else []
        )
        table = draw(st.sampled_from(tables))
        keys = st.sampled_from(sorted(table)) if table else near_names
        key = draw(keys | keys | near_names | texts)
        what = draw(st.sampled_from(["set", "set", "dimension", "remove", "rename"]))
        if what == "remove":
            table.pop(key, None)
        elif what == "rename":
            table[draw(near_names | texts)] = table.pop(key, 1)
        else:
            table[key] = draw(values if what == "set" else dimensions)
    return file


def check_file(content: bytes, folder: Path) -> None:
    file = folder / "study.toml"
    file.write_bytes(content)
    try:
        study = assemble({}, Path("study.toml"))
    except UsageError as refused:
        said = str(refused)
    else:
        said = ""
    if said:
        check_line(said)
        assert said.startswith("study.toml: ")
        code, out, error = run(["manager", "study.toml"], NOWHERE)
        check_told(code, error)
        assert (code, out) == (2, "")
        return
    again = StudySpec.from_spec(study.name, study.budget, jsonb(study.spec()))
    assert again.spec_hash == study.spec_hash
    workers(Path("study.toml"))


@cases(200)
@given(file=mutated())
@example(file={**FILE, "a\nb": {}})
@example(file={**FILE, "space": {"x" * 100_000: {"type": "real", "low": 1.0, "high": 2.0}}})
@example(file={**FILE, "limits": {"lease": HUGE}})
@example(file={**FILE, "space": {"C": {"type": "categorical", "choices": [HUGE]}}})
@example(file={**FILE, "space": {"C": {"type": "categorical", "choices": ["\x9b2J"] * 2}}})
@example(file={**FILE, "study": {"name": "\u202eevil"}})
def test_a_changed_study_file_is_accepted_or_refused_with_its_place(tmp_path, file):
    check_file(toml(file).encode(), tmp_path)


@cases(100)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
@example(content=b"[study]\nname" + b".a" * 5_000 + b" = 1")
@example(content=b"x" + b".a" * 5_000 + b" = 1")
@example(content=b"[study]\nseed = 0x" + b"f" * 5_000)
@example(content=b"a = " + b"[" * 10_000)
def test_any_bytes_as_a_study_file_are_refused_with_its_name(tmp_path, content):
    check_file(content, tmp_path)


@cases(50)
@given(name=arguments)
@example(name="a\nb.toml")
@example(name="x" * 5_000)
def test_any_name_of_a_study_file_is_refused_in_one_line(name):
    code, _, error = run(["manager", f"./{name}"], NOWHERE)
    check_told(code, error)


# Options and variables

# An accepted command fails at the database: no server listens at its address.
COMMANDS = [
    *(["run"], ["manager"], ["resume", "s"], ["worker", "--until-complete"], ["export", "s"]),
    *(["study", one, "s"] for one in ("show", "pause", "cancel", "delete")),
    *(["study", "list"], ["db", "upgrade"], ["db", "current"], ["db", "check"]),
]


def options(words: list[str]) -> list[str]:
    """The options of a command that take a value."""
    command: click.Command = program
    for word in words:
        if isinstance(command, click.Group) and (found := command.get_command(click.Context(command), word)):
            command = found
    taking = [p for p in command.params if isinstance(p, click.Option) and not p.is_flag and p.name != "database_url"]
    return [p.opts[0] for p in taking]


OPTIONS = [(words, option) for words in COMMANDS for option in options(words)]


@cases(200)
@given(chosen=st.sampled_from(OPTIONS), value=arguments, joined=st.booleans())
@example(chosen=(["run"], "--seed"), value="9" * 5_000, joined=True)
@example(chosen=(["worker"], "--study"), value="\udcff", joined=False)
@example(chosen=(["run"], "--name"), value="a\nledger: forged", joined=False)
@example(chosen=(["run"], "--model"), value="\x1b[31m", joined=False)
@example(chosen=(["study", "list"], "--tag"), value="t" * 101, joined=False)
def test_any_value_of_an_option_is_accepted_or_refused_by_its_name(chosen, value, joined):
    words, option = chosen
    code, _, error = run([*words, *([f"{option}={value}"] if joined else [option, value])], NOWHERE)
    check_told(code, error)
    assert code == 1 or option in error


@cases(50)
@given(words=st.lists(arguments | st.sampled_from(["study", "db", "run", "--batch-size", "--help", "-h"]), max_size=4))
@example(words=["\x1b[31m"])
@example(words=["--\n"])
@example(words=["run", "x" * 100_000, "y"])
def test_any_words_end_in_one_line(words):
    code, out, error = run(words, NOWHERE)
    if code == 0:
        assert out.startswith(("Usage:", "ledger, version", "postgresql:"))
    elif not out.startswith("Usage:"):  # which a group of commands shows where none is named
        check_told(code, error)


@cases(50)
@given(name=arguments, words=st.sampled_from([words for words in COMMANDS if "s" in words]))
@example(name="\udcff", words=["study", "show", "s"])
@example(name="a\x1b[2Jb", words=["study", "pause", "s"])
def test_any_name_of_a_study_ends_in_one_line(name, words):
    code, _, error = run([*words[:-1], "--", name], NOWHERE)
    check_told(code, error)


@functools.cache
def variables() -> list[str]:
    settings = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    return [name for name in re.findall(r"^\| `([A-Z_]+)` \|", settings, re.MULTILINE) if name != "DATABASE_URL"]


@cases(150)
@given(data=st.data(), words=st.sampled_from(COMMANDS))
def test_any_variables_are_accepted_or_refused_by_the_name_of_one(data, words):
    names = data.draw(st.lists(st.sampled_from(variables()), min_size=1, max_size=2, unique=True))
    given = {name: data.draw(arguments, label=name) for name in names}
    code, _, error = run(words, {**NOWHERE, **given})
    check_told(code, error)
    assert code == 1 or any(name in error for name in names)


KEYWORDS = (
    *("user", "dbname", "connect_timeout", "port", "sslmode", "options", "client_encoding", "application_name"),
    *("keepalives", "keepalives_idle", "target_session_attrs", "load_balance_hosts", "channel_binding", "passfile"),
    *("gssencmode", "require_auth", "service", "sslcert", "replication", "tcp_user_timeout", "nonsense"),
)


@cases(100)
@given(data=st.data(), keyword=st.sampled_from(KEYWORDS), value=arguments, words=st.sampled_from(COMMANDS))
def test_any_database_url_is_refused_without_its_password(data, keyword, value, words):
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    there = "host=127.0.0.1 port=1 password=secret"
    text = data.draw(
        st.sampled_from(
            [
                f"{there} {keyword}='{quoted}'",
                f"{there} {keyword}={value}",
                f"postgresql://me:secret@127.0.0.1:1/x?{keyword}={quote(os.fsencode(value), safe='')}",
                f"postgresql://{quote(os.fsencode(value), safe='')}:secret@127.0.0.1:1/",
                f"postgresql://me:secret@127.0.0.1:{value}/x",
                f"{value} secret",
            ]
        )
    )
    code, _, error = run(words, {"DATABASE_URL": text})
    check_told(code, error)
    assert "secret" not in error


@pytest.mark.parametrize("seconds", ["", "soon", "1 s"])
def test_a_wrong_time_limit_in_the_database_url_is_told_in_one_line(seconds):
    code, _, error = run(
        ["run"], {"DATABASE_URL": f"host=127.0.0.1 port=1 password=secret connect_timeout='{seconds}'"}
    )
    assert (code, error) == (2, f"ledger: the database URL is wrong: bad value for connect_timeout: '{seconds}'\n")


# What an objective returns


class Odd:
    """Has every method that a check of results may call; each raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("odd")

    __repr__ = __str__ = __float__ = __int__ = __index__ = __iter__ = __len__ = __bool__ = __eq__ = __hash__ = _raise


class OddNumber(Fraction):
    def __float__(self) -> float:
        raise RuntimeError("no float")


class OddDict(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise RuntimeError("no items")


class Loud:
    def __repr__(self) -> str:
        return "\x1b[31mloud\n\x9b2J" * 1_000


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"in": value}
    return value


def circle() -> Any:
    value: list[Any] = []
    value.append({"again": value})
    return value


numbers = st.one_of(
    st.floats(),
    st.integers(),
    extremes.filter(lambda one: not isinstance(one, Verbatim)),
    st.fractions(),
    st.decimals(),
    st.complex_numbers(),
    st.floats(width=16).map(np.float16),
    st.floats().map(np.float64),
    st.floats().map(np.longdouble),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.booleans() | st.booleans().map(np.bool_),
    st.integers(0, 99).map(lambda n: np.datetime64(n, "D")) | st.integers(0, 99).map(lambda n: np.timedelta64(n, "s")),
    st.lists(st.floats(), max_size=3).map(np.array),
    st.builds(OddNumber, st.integers(1, 9)),
)
any_text = st.text(st.characters(), max_size=20) | odd_texts
leaves = st.one_of(
    numbers,
    st.none(),
    any_text,
    st.binary(max_size=9),
    st.dates(),
    st.builds(Odd),
    st.builds(Loud),
    st.just(deep(50)),
    st.just(Odd) | st.just(deep) | st.just(...) | st.just(OddDict(a=1)),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.sets(st.integers() | any_text, max_size=3),
        st.dictionaries(any_text | st.integers() | st.floats() | st.none() | st.binary(max_size=3), inner, max_size=4),
        st.lists(inner, max_size=2).map(iter),
    ),
    max_leaves=6,
)
returns = anything | st.builds(
    lambda kind, rest, loss: kind({**rest, "loss": loss}),
    st.sampled_from([dict, dict, OddDict]),
    st.dictionaries(any_text, anything, max_size=4),
    st.floats(-1, 1) | numbers,
)


@cases(200)
@given(returned=returns)
@example(returned=OddNumber(1))
@example(returned=OddDict(loss=1))
@example(returned={"loss": 1, "metric": 8.143348655607611e16})
def test_every_returned_value_is_a_result_or_refused_in_one_line(returned):
    try:
        result = to_result(returned)
    except InvalidResultError as refused:
        check_line(str(refused))
        return
    assert math.isfinite(result.loss)
    assert as_doubles(jsonb(result.metrics)) == as_doubles(result.metrics)


def as_doubles(value: Any) -> Any:
    """Return a JSON value with each number as a float: jsonb returns the float 8.143348655607611e16 as an integer."""
    return json.loads(json.dumps(value), parse_int=float)


@pytest.mark.parametrize(
    "metric", [deep(500), deep(100_000), circle(), 16**5_000, "x" * 10_000_001], ids=itertools.count()
)
def test_a_metric_beyond_the_limits_is_refused_in_one_line(metric):
    with pytest.raises(InvalidResultError) as refused:
        to_result({"loss": 1.0, "metric": metric})
    check_line(str(refused.value))


def test_an_integer_with_more_digits_than_python_reads_is_refused():
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(InvalidResultError, match="the value contains an integer of 5001 digits"):
            to_result({"loss": 1.0, "metric": 10**5_000})
    finally:
        sys.set_int_max_str_digits(limit)
