"""A space is refused with its place and the way out, and gives back every value exactly as it went in."""

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import UsageError
from ledger.study.dimensions import Categorical, Integer, Real
from ledger.study.space import Space

REAL = {"type": "real", "low": 1e-3, "high": 1e3}
INTEGER = {"type": "integer", "low": 1, "high": 10}


def jsonb(value: Any) -> Any:
    """What a value is after PostgreSQL's jsonb: keys in another order, exponents written out, no negative zero."""

    def number(text: str) -> Any:
        if "e" not in text.lower():
            return 0.0 if float(text) == 0 else float(text)
        written_out = f"{Decimal(text):f}"
        return float(written_out) if "." in written_out else int(written_out)

    return json.loads(json.dumps(value, sort_keys=True), parse_float=number)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "[space] has no dimension"),
        ({"": REAL}, "a dimension needs a name of 1 to 200 printable characters"),
        ({"a\nb": REAL}, '[space] "a\\nb": a dimension needs a name'),
        ({"C": 3}, "[space] C: 3 is not a table"),
        ({"C": {"low": 1, "high": 2}}, "[space] C: the type is missing; choose real, integer, categorical"),
        ({"C": {**REAL, "type": "rael"}}, "[space] C: unknown type \"rael\"; did you mean 'real'?"),
        ({"C": {**REAL, "type": 1}}, "[space] C: unknown type 1; there are real, integer, categorical"),
        ({"C": {**REAL, "prior": "log"}}, '[space] C: unknown prior "log"; there are uniform, log-uniform'),
        ({"C": {**REAL, "prior": ["uniform"]}}, '[space] C: unknown prior ["uniform"]'),
        (
            {"C": {**REAL, "hihg": 1}},
            "[space] C: unknown key \"hihg\" in a dimension of type real; did you mean 'high'?",
        ),
        ({"C": {**REAL, "name": "D"}}, "[space] C: unknown key 'name'"),
        (
            {"C": {"type": "real", "low": 1}},
            "[space] C: high is missing; a dimension of type real needs type, low, high",
        ),
        ({"C": {**REAL, "low": 1e4}}, "[space] C: low 10000.0 is not below high 1000.0"),
        ({"C": {**REAL, "low": 1e3}}, "[space] C: low 1000.0 is not below high 1000.0"),
        ({"C": {**REAL, "high": math.inf}}, "[space] C: high Infinity is not finite"),
        ({"C": {**REAL, "high": 10**400}}, "is not finite"),
        ({"C": {**REAL, "low": math.nan}}, "[space] C: low NaN is not finite"),
        ({"C": {**REAL, "low": True}}, "[space] C: low true is not a number"),
        ({"C": {**REAL, "low": "1"}}, '[space] C: low "1" is not a number'),
        ({"C": {**REAL, "low": 0, "prior": "log-uniform"}}, "low 0.0 is not positive, but log-uniform needs"),
        ({"C": {**REAL, "low": -1e308, "high": 1e308}}, "too far apart"),
        ({"n": {**INTEGER, "low": 1.0}}, "[space] n: low 1.0 is not an integer"),
        ({"n": {**INTEGER, "low": False}}, "[space] n: low false is not an integer"),
        ({"n": {**INTEGER, "low": 0, "prior": "log-uniform"}}, "low 0 is not positive"),
        ({"n": {**INTEGER, "high": 2**53 + 1}}, "is beyond 2**53"),
        ({"n": {**INTEGER, "high": 1}}, "low 1 is not below high 1"),
        (
            {"k": {"type": "categorical"}},
            "[space] k: choices is missing; a dimension of type categorical needs type, choices",
        ),
        ({"k": {"type": "categorical", "choices": []}}, "[space] k: choices [] must be a list of at least one value"),
        ({"k": {"type": "categorical", "choices": "ab"}}, '[space] k: choices "ab" must be a list'),
        ({"k": {"type": "categorical", "choices": ["a", "a"]}}, '[space] k: choices "a" and "a" are equal'),
        ({"k": {"type": "categorical", "choices": [1, 1.0]}}, "[space] k: choices 1 and 1.0 are equal"),
        ({"k": {"type": "categorical", "choices": [0, False]}}, "[space] k: choices 0 and false are equal"),
        ({"k": {"type": "categorical", "choices": [[1]]}}, "[space] k: choice [1] is not a string, a number"),
        ({"k": {"type": "categorical", "choices": [math.nan]}}, "[space] k: choice NaN is not finite"),
        ({"k": {"type": "categorical", "choices": [2**63]}}, "choice 9223372036854775808 is beyond 64 bits"),
        ({"k": {"type": "categorical", "choices": [1e16]}}, "is a float that PostgreSQL returns as an integer"),
        ({"k": {"type": "categorical", "choices": ["a\0"]}}, "contains a NUL character"),
        ({"k": {"type": "categorical", "choices": ["\ud800"]}}, "is not valid Unicode"),
        (
            {"k": {"type": "categorical", "choices": ["a"], "prior": "uniform"}},
            'unknown key "prior" in a dimension of type categorical',
        ),
    ],
)
def test_a_wrong_space_is_refused_in_one_line_with_the_place(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Space.from_toml(table)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("[space]")


def test_a_repeated_name_is_refused() -> None:
    with pytest.raises(UsageError, match="space C: two dimensions have this name"):
        Space.from_json([{"name": "C", **REAL}, {"name": "C", **INTEGER}])


def test_the_place_is_the_callers() -> None:
    with pytest.raises(UsageError, match=r"^study\.toml: \[space\] C: low 10\.0 is not below high 1\.0$"):
        Space.from_toml({"C": {"type": "real", "low": 10.0, "high": 1}}, "study.toml: [space]")


def test_dimensions_keep_their_order_and_get_exact_types() -> None:
    space = Space.from_toml(
        {"z": {"type": "real", "low": 1, "high": 2}, "a": INTEGER, "k": {"type": "categorical", "choices": [1, "1"]}}
    )
    assert space.names == ("z", "a", "k")
    assert space.dimensions == (Real("z", 1.0, 2.0), Integer("a", 1, 10), Categorical("k", (1, "1")))
    assert space.to_json()[0] == {"name": "z", "type": "real", "low": 1.0, "high": 2.0, "prior": "uniform"}
    assert json.dumps(space.to_json()[0]["low"]) == "1.0"


@pytest.mark.parametrize(
    ("tables", "size"),
    [
        ([REAL, INTEGER], None),
        ([INTEGER, INTEGER], 100),
        ([INTEGER, {"type": "categorical", "choices": ["a", "b", True]}], 30),
        ([{"type": "categorical", "choices": ["a"]}], 1),
        ([{"type": "integer", "low": -(2**53), "high": 2**53}] * 2, (2**54 + 1) ** 2),
    ],
)
def test_the_size_counts_the_points(tables: list[dict[str, Any]], size: int | None) -> None:
    assert Space.from_toml({f"x{i}": table for i, table in enumerate(tables)}).size() == size


def test_every_index_of_a_finite_space_is_another_point() -> None:
    space = Space.from_toml({"n": INTEGER, "k": {"type": "categorical", "choices": ["a", 2, False]}})
    points = [space.point(index) for index in range(30)]
    assert len({json.dumps(point) for point in points}) == 30
    assert all(space.contains(point) and list(point) == ["n", "k"] for point in points)


def test_a_space_with_a_real_has_no_points_to_count() -> None:
    with pytest.raises(TypeError):
        Space.from_toml({"C": REAL}).point(0)


@pytest.mark.parametrize(
    ("table", "value", "exact"),
    [
        (REAL, 1, 1.0),
        (REAL, np.float64(0.5), 0.5),
        (REAL, np.float32(0.5), 0.5),
        ({"type": "real", "low": 0, "high": 1e17}, 10**16, 1e16),
        ({"type": "real", "low": -1, "high": 1}, -0.0, 0.0),
        (INTEGER, np.int64(3), 3),
        (INTEGER, 3.0, 3),
        ({"type": "categorical", "choices": [1, "a", 2.0]}, np.int64(1), 1),
        ({"type": "categorical", "choices": [1, "a", 2.0]}, 2, 2.0),
        ({"type": "categorical", "choices": [True, "a"]}, np.bool_(True), True),
        ({"type": "categorical", "choices": ["a", "b"]}, np.str_("b"), "b"),
    ],
)
def test_values_become_exact_python_values(table: dict[str, Any], value: Any, exact: Any) -> None:
    (found,) = Space.from_toml({"x": table}).normalise({"x": value}).values()
    assert type(found) is type(exact)
    assert repr(found) == repr(exact)


@pytest.mark.parametrize(
    ("table", "value"),
    [
        (REAL, 1e-4),
        (REAL, math.nan),
        (REAL, True),
        (REAL, "1"),
        (REAL, None),
        (INTEGER, 1.5),
        (INTEGER, 11),
        (INTEGER, True),
        (INTEGER, 10**400),
        ({"type": "integer", "low": 0, "high": 2**53}, 2**53 + 1),
        ({"type": "categorical", "choices": [1, "a"]}, True),
        ({"type": "categorical", "choices": [True, "a"]}, 1),
        ({"type": "categorical", "choices": [1, "a"]}, "1"),
        ({"type": "categorical", "choices": [1, "a"]}, [1]),
    ],
)
def test_what_is_not_a_value_of_its_dimension_is_refused(table: dict[str, Any], value: Any) -> None:
    space = Space.from_toml({"x": table})
    assert not space.contains({"x": value})
    with pytest.raises(UsageError, match=r"^parameter 'x': "):
        space.normalise({"x": value})


@pytest.mark.parametrize(
    ("params", "message"),
    [({}, "parameter 'gamma' of the space is missing"), ({"gamme": 1}, "no parameter 'gamme'; did you mean 'gamma'")],
)
def test_missing_and_unknown_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Space.from_toml({"gamma": REAL}).normalise(params)


finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e307, max_value=1e307)
real_tables = st.tuples(finite, finite).filter(lambda pair: pair[0] + 0.0 < pair[1] + 0.0)
choices = st.lists(
    st.one_of(
        st.text(st.characters(exclude_characters="\0", codec="utf-8")),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, min_value=-9e15, max_value=9e15),
    ),
    min_size=1,
    max_size=6,
    unique=True,
)


@given(real_tables, choices, st.integers(-(2**53), 2**53 - 1))
def test_the_json_form_means_the_same_after_jsonb(bounds: tuple[float, float], values: list[Any], low: int) -> None:
    space = Space.from_toml(
        {
            "r": {"type": "real", "low": bounds[0], "high": bounds[1]},
            "k": {"type": "categorical", "choices": values},
            "n": {"type": "integer", "low": low, "high": 2**53},
        }
    )
    again = Space.from_json(jsonb(space.to_json()))
    assert json.dumps(again.to_json()) == json.dumps(space.to_json())


@given(real_tables, choices, st.data())
def test_parameters_mean_the_same_after_jsonb(bounds: tuple[float, float], values: list[Any], data: Any) -> None:
    space = Space.from_toml(
        {
            "r": {"type": "real", "low": bounds[0], "high": bounds[1]},
            "k": {"type": "categorical", "choices": values},
        }
    )
    params = space.normalise({"r": data.draw(st.floats(*bounds)), "k": data.draw(st.sampled_from(values))})
    assert json.dumps(space.normalise(jsonb(params))) == json.dumps(params)
