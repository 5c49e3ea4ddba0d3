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
from ledger.study.choices import choice_key
from ledger.study.dimensions import Categorical, Integer, Real
from ledger.study.python_values import python_params
from ledger.study.space import Space

REAL = {"type": "real", "low": 1e-3, "high": 1e3}
INTEGER = {"type": "integer", "low": 1, "high": 10}


def jsonb_of_choice(value: Any) -> Any:
    """What a choice is after jsonb: the keys of its objects are sorted."""
    if isinstance(value, dict):
        return {key: jsonb_of_choice(value[key]) for key in sorted(value)}
    inner = [jsonb_of_choice(item) for item in value] if isinstance(value, list | tuple) else value
    return tuple(inner) if isinstance(value, tuple) else inner


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
        ({"C": {1}}, '[space] C: "{1}" is not a dimension; write a range (low, high), a list of choices'),
        ({"C": print}, "is not a dimension; write a range (low, high), a list of choices, a constant, or a table"),
        ({"C": ("a", "b")}, '[space] C: ["a", "b"] is not a range (low, high) or (low, high, prior) of numbers; write'),
        ({"C": (False, True)}, "is not a range (low, high) or (low, high, prior) of numbers; write choices as a list"),
        ({"C": (1, 2, "log", 4)}, '[space] C: [1, 2, "log", 4] is not a range'),
        ({"C": range(0)}, "[space] C: choices [] must be a list of at least one value"),
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
        (
            {"C": {**REAL, "low": 1e3}},
            "[space] C: low 1000.0 is not below high 1000.0; for a constant, write only the value 1000.0",
        ),
        ({"C": {**REAL, "step": 0}}, "[space] C: step 0 is not a positive number"),
        ({"C": {**REAL, "step": math.inf}}, "[space] C: step Infinity is not a positive number"),
        ({"C": {**REAL, "step": True}}, "[space] C: step true is not a positive number"),
        (
            {"C": {"type": "real", "low": 0, "high": 1, "step": 0.3}},
            "[space] C: the distance from low 0.0 to high 1.0 is not a multiple of step 0.3; write high = 0.9 or 1.2",
        ),
        (
            {"C": {"type": "real", "low": 0, "high": 1, "step": 2}},
            "a multiple of step 2.0; write high = 2.0",
        ),
        ({"C": {"type": "real", "low": 1e15, "high": 1e15 + 1, "step": 0.1}}, "step 0.1 is below the precision"),
        ({"C": {"type": "real", "low": 0, "high": 1, "step": 1e-17}}, "step 1e-17 is below the precision of floats"),
        ({"C": {"type": "real", "low": 0, "high": 1e-2, "step": 1e-18}}, "step 1e-18 is below the precision"),
        (
            {"C": {**REAL, "step": 1e-3, "prior": "log-uniform"}},
            "[space] C: step and the prior log-uniform exclude each other; leave the prior out",
        ),
        ({"C": {**REAL, "step": 1e-3, "powers_of": 10}}, "[space] C: step and powers_of exclude each other"),
        ({"C": {**REAL, "powers_of": 10, "prior": "uniform"}}, "powers_of and the prior uniform exclude each other"),
        ({"C": {**REAL, "powers_of": 2.0}}, "[space] C: powers_of 2.0 is not an integer of 2 or more"),
        (
            {"C": {**REAL, "low": 1, "high": 1.7e308, "powers_of": 10}},
            "high 1.7e+308 is not a power of 10; write 1e+308",
        ),
        (
            {"C": {"type": "real", "low": 0, "high": 1.7e308, "step": 1e308}},
            "a multiple of step 1e+308; write high",
        ),
        ({"C": {**REAL, "powers_of": 1}}, "[space] C: powers_of 1 is not an integer of 2 or more"),
        (
            {"C": {**REAL, "powers_of": 2}},
            "[space] C: low 0.001 is not a power of 2; write 0.0009765625 or 0.001953125",
        ),
        ({"n": {**INTEGER, "powers_of": 2}}, "[space] n: high 10 is not a power of 2; write 8 or 16"),
        ({"n": {**INTEGER, "low": 0, "powers_of": 2}}, "[space] n: low 0 is not positive, but each power of 2 is"),
        ({"n": {**INTEGER, "step": 0.5}}, "[space] n: step 0.5 is not an integer; write an integer, or make"),
        (
            {"n": {**INTEGER, "step": 2}},
            "[space] n: the distance from low 1 to high 10 is not a multiple of step 2; write high = 9 or 11",
        ),
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
        ({"k": {"type": "categorical", "choices": "[1"}}, 'choices "[1" must be a list of at least one value'),
        ({"k": {"type": "categorical", "choices": "{}"}}, 'choices "{}" must be a list of at least one value'),
        (
            {"k": {"type": "categorical", "choices": ["a"], "ordered": 1}},
            '[space] k: the key "ordered" must be true or false, not 1',
        ),
        (
            {"k": {"type": "categorical", "choices": ["a"], "tuples": 1}},
            '[space] k: the key "tuples" must be true or false, not 1',
        ),
        (
            {"k": {"type": "categorical", "choices": ["a"], "tuples": [1]}},
            '[space] k: the key "tuples" must be true or false, not [1]',
        ),
        (
            {"k": {"type": "categorical", "choices": [[1, True], (True, 1.0)]}},
            "choices [1, true] and [true, 1.0] are equal",
        ),
        ({"k": [{"a": 1, "b": 2}, {"b": 2, "a": 1}]}, '{"b": 2, "a": 1} are equal; remove one of them'),
        ({"k": [None, None]}, "[space] k: choices null and null are equal; remove one of them"),
        ({"k": [[math.inf]]}, "[space] k: choice [Infinity] is not finite; use a finite number, or the text"),
        ({"k": [{1: "a"}]}, '[space] k: choice {"1": "a"} has the key 1, which is not a string'),
        ({"k": [["a", ["\0"]]]}, "contains a NUL character"),
        ({"k": [{"\ud800": 1}]}, "is not valid Unicode"),
        (
            {"k": [dict, "a"]},
            '[space] k: choice dict is a class, which JSON cannot represent; use the choice "dict", and get the class'
            ' from a dict inside the objective, as in {"dict": dict}[params[...]]',
        ),
        (
            {"k": [math.sqrt]},
            '[space] k: choice sqrt is a function, which JSON cannot represent; use the choice "sqrt"',
        ),
        (
            {"k": [lambda: 0]},
            "is of type function, which JSON cannot represent; use a name as the choice, and get the object",
        ),
        (
            {"k": [{1, 2}]},
            "is of type set, which JSON cannot represent; use a name as the choice, and get the object from",
        ),
        ({"k": [b"a"]}, "is of type bytes, which JSON cannot represent"),
        ({"k": {"type": "categorical", "choices": []}}, "[space] k: choices [] must be a list of at least one value"),
        ({"k": {"type": "categorical", "choices": "ab"}}, '[space] k: choices "ab" must be a list'),
        ({"k": {"type": "categorical", "choices": ["a", "a"]}}, '[space] k: choices "a" and "a" are equal'),
        ({"k": {"type": "categorical", "choices": [1, 1.0]}}, "[space] k: choices 1 and 1.0 are equal"),
        ({"k": {"type": "categorical", "choices": [0, False]}}, "[space] k: choices 0 and false are equal"),
        ({"k": {"type": "categorical", "choices": [math.nan]}}, "[space] k: choice NaN is not finite"),
        ({"k": {"type": "categorical", "choices": [2**63]}}, "choice 9223372036854775808 needs more than 64 bits"),
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


NESTED: list[Any] = []
NESTED.append(NESTED)


def test_a_choice_of_many_levels_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^\[space\] k: a choice has more than \d+ nested levels; use fewer levels$"):
        Space.from_toml({"k": [NESTED]})


@pytest.mark.parametrize(
    ("short", "table"),
    [
        ((0, 1.0), {"type": "real", "low": 0, "high": 1.0}),
        ((1, 10), {"type": "integer", "low": 1, "high": 10}),
        ((np.int64(1), np.int64(10)), {"type": "integer", "low": 1, "high": 10}),
        ((np.float64(0.5), 1), {"type": "real", "low": 0.5, "high": 1.0}),
        ((1e-3, 1e3, "log-uniform"), {"type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform"}),
        (range(1, 11), {"type": "integer", "low": 1, "high": 10}),
        (range(10, 0, -3), {"type": "integer", "low": 1, "high": 10, "step": 3}),
        (range(4, 5), {"type": "categorical", "choices": [4]}),
        (["a", None], {"type": "categorical", "choices": ["a", None]}),
        (np.array([1, 2]), {"type": "categorical", "choices": [1, 2]}),
        (3, {"type": "categorical", "choices": [3]}),
        (np.float64(0.5), {"type": "categorical", "choices": [0.5]}),
        ("rbf", {"type": "categorical", "choices": ["rbf"]}),
        (False, {"type": "categorical", "choices": [False]}),
        (None, {"type": "categorical", "choices": [None]}),
    ],
)
def test_a_short_form_is_the_dimension_of_its_table(short: Any, table: dict[str, Any]) -> None:
    found = Space.from_toml({"x": short})
    assert found == Space.from_toml({"x": table})
    assert json.dumps(found.to_json()) == json.dumps(Space.from_toml({"x": table}).to_json())


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ({"type": "real", "low": 0, "high": 0.5, "step": 0.1}, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        ({"type": "real", "low": -1, "high": 1, "step": 2 / 3}, [-1.0, -1 / 3, 1 / 3, 1.0]),
        ({"type": "integer", "low": 3, "high": 9, "step": 3}, [3, 6, 9]),
        ({"type": "integer", "low": 3, "high": 9, "step": 3.0}, [3, 6, 9]),
        ({"type": "integer", "low": 1, "high": 3, "step": 1}, [1, 2, 3]),
        ({"type": "integer", "low": 16, "high": 128, "powers_of": 2}, [16, 32, 64, 128]),
        ({"type": "integer", "low": 1, "high": 27, "powers_of": 3, "prior": "log-uniform"}, [1, 3, 9, 27]),
        ({"type": "real", "low": 1e-7, "high": 1e-4, "powers_of": 10}, [1e-7, 1e-6, 1e-5, 1e-4]),
        ({"type": "real", "low": 0.25, "high": 2, "powers_of": 2}, [0.25, 0.5, 1.0, 2.0]),
        ({"type": "real", "low": 5e-324, "high": 1e-323, "powers_of": 2}, [5e-324, 1e-323]),
    ],
)
def test_a_grid_has_exactly_the_values_that_its_table_says(table: dict[str, Any], values: list[Any]) -> None:
    space = Space.from_toml({"x": table})
    (dimension,) = space.dimensions
    assert space.size() == len(values)
    found = [dimension.value(index) for index in range(len(values))]
    assert found == pytest.approx(values, rel=1e-12)
    assert [type(value) for value in found] == [type(value) for value in values]
    for index, value in enumerate(found):
        assert dimension.index(dimension.normalise(value)) == index
        assert dimension.parse(repr(value)) == value
    assert Space.from_json(jsonb(space.to_json())) == space


def test_decimal_steps_give_the_decimals_that_people_write() -> None:
    space = Space.from_toml({"x": {"type": "real", "low": 0, "high": 1, "step": 0.1}})
    assert [space.point(index)["x"] for index in range(11)] == [float(f"0.{index}") for index in range(10)] + [1.0]


STEP = {"type": "real", "low": 0, "high": 1, "step": 0.25}


@pytest.mark.parametrize(
    ("table", "value", "message"),
    [
        (STEP, 0.3, "0.3 is not an allowed value (step 0.25); the nearest values are 0.25 and 0.5"),
        (STEP, 1.25, "1.25 is not in [0.0, 1.0]"),
        (
            {"type": "integer", "low": 1, "high": 9, "step": 2},
            8,
            "8 is not an allowed value (step 2); the nearest values are 7 and 9",
        ),
        (
            {"type": "integer", "low": 8, "high": 64, "powers_of": 2},
            9,
            "9 is not an allowed value (powers of 2); the nearest values are 8 and 16",
        ),
        (
            {"type": "real", "low": 1e-3, "high": 1, "powers_of": 10},
            0.02,
            "0.02 is not an allowed value (powers of 10); the nearest values are 0.01 and 0.1",
        ),
    ],
)
def test_a_value_beside_the_grid_is_refused_with_its_neighbours(
    table: dict[str, Any], value: Any, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        Space.from_toml({"x": table}).normalise({"x": value})
    assert str(refused.value) == f"parameter 'x': {message}"


CHOICES: list[Any] = [
    None, True, 0, 2.5, "rbf", (64, 64), [64, 32], {"b": (1, [2]), "a": None}, (), "null", "[1, 2]",
]  # fmt: skip


def test_choices_of_every_type_come_back_as_they_went_in() -> None:
    space = Space.from_toml({"k": CHOICES})
    again = Space.from_json(jsonb(space.to_json()))
    assert again == space
    for choice in CHOICES:
        for of in (space, again):
            assert repr(jsonb_of_choice(of.normalise({"k": jsonb(choice)})["k"])) == repr(jsonb_of_choice(choice))
            assert repr(jsonb_of_choice(of.normalise({"k": choice})["k"])) == repr(jsonb_of_choice(choice))


def test_every_choice_has_a_text_of_its_own_that_means_it() -> None:
    for values in (CHOICES, ["1", 1, "a"], ["true", True, '"true"'], [1, 2], ["rbf", None]):
        (dimension,) = Space.from_toml({"k": values}).dimensions
        assert isinstance(dimension, Categorical)
        assert len(set(dimension.texts())) == len(values)
        assert [repr(dimension.parse(text)) for text in dimension.texts()] == list(map(repr, values))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("None", None), ("null", None), ("TRUE", True), ("(64, 64)", (64, 64)), ("[64,64]", (64, 64)), ("'a'", "'a'"),
        ("['a', None]", ["a", None]), (" 2.50", 2.5),
    ],
)  # fmt: skip
def test_a_choice_may_be_typed_as_json_or_as_python(text: str, value: Any) -> None:
    (dimension,) = Space.from_toml({"k": [None, True, (64, 64), "'a'", ["a", None], 2.5]}).dimensions
    assert repr(dimension.parse(text)) == repr(value)


@pytest.mark.parametrize("text", ["(", "(1", "[" * 5_000, "(" * 5_000, "{1: 2}", "print", "__import__('os')", "nan"])
def test_a_text_that_is_no_choice_is_refused(text: str) -> None:
    (dimension,) = Space.from_toml({"k": [None, (64, 64)]}).dimensions
    with pytest.raises(ValueError, match=r"is not one of null, \[64, 64\]$"):
        dimension.parse(text)


def test_a_file_names_null_and_tuples_in_json() -> None:
    table = {"type": "categorical", "choices": "[null, [1, 1], [1, 2]]", "tuples": True}
    assert Space.from_toml({"k": table}) == Space.from_toml({"k": [None, (1, 1), (1, 2)]})


def test_a_dimension_without_the_new_settings_has_the_json_that_it_had() -> None:
    space = Space.from_toml({"C": REAL, "n": {**INTEGER, "step": 1}, "k": ["a", "b"]})
    assert space.to_json() == [
        {"name": "C", "type": "real", "low": 1e-3, "high": 1e3, "prior": "uniform"},
        {"name": "n", "type": "integer", "low": 1, "high": 10, "prior": "uniform"},
        {"name": "k", "type": "categorical", "choices": ["a", "b"]},
    ]


def test_the_json_has_each_new_setting_only_where_it_is_set() -> None:
    space = Space.from_toml(
        {
            "a": {"type": "real", "low": 0, "high": 1, "step": 0.5},
            "b": {"type": "integer", "low": 2, "high": 8, "powers_of": 2},
            "c": {"type": "categorical", "choices": ["s", "m", "l"], "ordered": True},
            "d": [(1, 2), None],
            "e": [(1, 2), [3]],
        }
    )
    assert [{key: one[key] for key in one if key != "name"} for one in space.to_json()] == [
        {"type": "real", "low": 0.0, "high": 1.0, "prior": "uniform", "step": 0.5},
        {"type": "integer", "low": 2, "high": 8, "prior": "log-uniform", "powers_of": 2},
        {"type": "categorical", "choices": ["s", "m", "l"], "ordered": True},
        {"type": "categorical", "choices": [[1, 2], None], "tuples": True},
        {"type": "categorical", "choices": [[1, 2], [3]], "tuples": [[0]]},
    ]
    assert [str(dimension) for dimension in space.dimensions] == [
        "real, 0 to 1, step 0.5",
        "integer, 2 to 8, powers of 2",
        '"s", "m", "l"',
        "[1, 2], null",
        "[1, 2], [3]",
    ]


def test_parameters_of_any_row_get_their_tuples() -> None:
    layers = {"name": "layers", "type": "categorical", "choices": [[1, [2]], [3]], "tuples": [[0]]}
    assert python_params({"layers": [1, [2]]}, [layers]) == {"layers": (1, [2])}
    others: list[Any] = [[9], "a", None, {"a": []}]
    for value in others:
        assert python_params({"layers": value, "x": 1}, [layers]) == {"layers": value, "x": 1}
    for damaged in ({"name": "layers", "tuples": True}, {**layers, "tuples": [1]}, {**layers, "choices": [[1], [1]]}):
        assert python_params({"layers": [3]}, [damaged]) == {"layers": [3]}


finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e307, max_value=1e307)
real_tables = st.tuples(finite, finite).filter(lambda pair: pair[0] + 0.0 < pair[1] + 0.0)
texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8)
json_values = st.recursive(
    st.one_of(
        st.none(),
        texts,
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, min_value=-9e15, max_value=9e15),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=6,
)
choices = st.lists(json_values, min_size=1, max_size=6, unique_by=lambda choice: choice_key(choice, like_python=True))


def maybe_default(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={"default": values})


@given(real_tables, choices, st.integers(-(2**53), 2**53 - 1), st.data())
def test_the_json_form_means_the_same_after_jsonb(
    bounds: tuple[float, float], values: list[Any], low: int, data: st.DataObject
) -> None:
    defaults = {"r": st.floats(*bounds), "k": st.sampled_from(values), "n": st.integers(low, 2**53)}
    drawn = {name: data.draw(maybe_default(strategy)) for name, strategy in defaults.items()}
    space = Space.from_toml(
        {
            "r": {"type": "real", "low": bounds[0], "high": bounds[1], **drawn["r"]},
            "k": {"type": "categorical", "choices": values, **drawn["k"]},
            "n": {"type": "integer", "low": low, "high": 2**53, **drawn["n"]},
        }
    )
    assert space.defaults.keys() == {name for name, table in drawn.items() if table}
    again = Space.from_json(jsonb(space.to_json()))
    assert json.dumps(again.to_json(), sort_keys=True) == json.dumps(space.to_json(), sort_keys=True)
    assert again == space
    assert jsonb_of_choice(again.defaults) == jsonb_of_choice(space.defaults)


@given(real_tables, choices, st.integers(1, 50))
def test_the_extreme_points_have_both_ends_and_each_choice(
    bounds: tuple[float, float], values: list[Any], step: int
) -> None:
    low, high = bounds
    space = Space.from_toml(
        {
            "real": {"type": "real", "low": low, "high": high},
            "grid": {"type": "integer", "low": 1, "high": 1 + 9 * step, "step": step},
            "kind": {"type": "categorical", "choices": values},
        }
    )
    points = list(space.extreme_points())
    assert all(space.normalise(point) == point for point in points)
    assert {point["real"] for point in points} == {low, high}
    assert {point["grid"] for point in points} == {1, 1 + 9 * step}
    found = [point["kind"] for point in points]
    assert all(any(kind == value and type(kind) is type(value) for kind in found) for value in values)


@given(real_tables, choices, st.data())
def test_parameters_mean_the_same_after_jsonb(bounds: tuple[float, float], values: list[Any], data: Any) -> None:
    space = Space.from_toml(
        {
            "r": {"type": "real", "low": bounds[0], "high": bounds[1]},
            "k": {"type": "categorical", "choices": values},
        }
    )
    params = space.normalise({"r": data.draw(st.floats(*bounds)), "k": data.draw(st.sampled_from(values))})
    assert repr(space.normalise(jsonb(params))) == repr(params)
    assert repr(python_params(jsonb(params), jsonb(space.to_json()))["k"]) == repr(jsonb_of_choice(params["k"]))


@given(choices, st.data())
def test_the_text_of_any_choice_means_the_choice(values: list[Any], data: Any) -> None:
    (dimension,) = Space.from_toml({"k": values}).dimensions
    assert isinstance(dimension, Categorical)
    index = data.draw(st.integers(0, len(values) - 1))
    assert dimension.index(dimension.parse(dimension.texts()[index])) == index


@given(st.integers(-(2**40), 2**40), st.integers(1, 2**20), st.integers(1, 2**20), st.integers(-6, 6))
def test_every_value_of_a_stepped_range_is_found_by_its_text(low: int, step: int, steps: int, exponent: int) -> None:
    scaled = [float(Decimal(number).scaleb(exponent)) for number in (low, low + step * steps, step)]
    if scaled[2] < 2 * math.ulp(max(abs(scaled[0]), abs(scaled[1]))):
        return
    space = Space.from_toml({"x": {"type": "real", "low": scaled[0], "high": scaled[1], "step": scaled[2]}})
    (dimension,) = space.dimensions
    assert dimension.size() == steps + 1
    for index in {0, 1, steps // 2, steps}:
        value = dimension.value(index)
        assert dimension.index(jsonb(value)) == index
        assert dimension.parse(repr(value)) == value
        assert value == float(Decimal(low + step * index).scaleb(exponent))
