"""A dimension may have a default, which is an allowed value, and which the first proposed point takes."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import UsageError
from ledger.objectives import MODELS
from ledger.proposals import Observation, ProposalInput, propose
from ledger.space import from_any
from ledger.study.file import assemble
from ledger.study.space import Space
from ledger.study.spec import differences
from tests.unit.proposed import CATEGORIES, GRIDS, INTEGERS, MIXED, make
from tests.unit.test_space import jsonb

REAL = {"type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform"}
INTEGER = {"type": "integer", "low": 1, "high": 10}


def categorical(*choices: Any, **others: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(choices), **others}


@pytest.mark.parametrize(
    ("table", "value", "in_json"),
    [
        ({**REAL, "default": 1}, 1.0, 1.0),
        ({**REAL, "default": np.float32(0.5)}, 0.5, 0.5),
        ({**INTEGER, "default": 4.0}, 4, 4),
        ({**INTEGER, "low": -1, "default": 0}, 0, 0),
        ({"type": "real", "low": 0, "high": 1, "step": 0.1, "default": 0.1 + 0.2}, 0.3, 0.3),
        ({"type": "integer", "low": 8, "high": 64, "powers_of": 2, "default": np.int64(16)}, 16, 16),
        (categorical("rbf", "poly", default="poly"), "poly", "poly"),
        (categorical(True, "a", default=np.bool_(True)), True, True),
        (categorical(False, None, default=False), False, False),
        (categorical(4, None, default=None), None, None),
        (categorical(4, None, default="null"), None, None),
        (categorical(4, None, "null", default="null"), "null", "null"),
        (categorical((64,), (64, 32), default=[64, 32]), (64, 32), [64, 32]),
        (categorical((1, [2]), [3], default=(1, (2,))), (1, [2]), [1, [2]]),
        (categorical((64,), (64, 32), default="(64, 32)"), (64, 32), [64, 32]),
        (categorical({"a": None}, {}, default={}), {}, {}),
    ],
)
def test_a_default_is_a_value_of_its_dimension(table: dict[str, Any], value: Any, in_json: Any) -> None:
    space = Space.from_toml({"x": table, "y": (0.0, 1.0)})
    assert repr(space.defaults) == repr({"x": value})
    first, second = space.to_json()
    assert repr(first["default"]) == repr(in_json)
    assert "default" not in second
    again = Space.from_json(jsonb(space.to_json()))
    assert again == space
    assert repr(again.defaults) == repr(space.defaults)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({**REAL, "default": 0}, "default 0.0 is not in [0.001, 1000.0]"),
        ({**REAL, "default": float("nan")}, "default NaN is not in [0.001, 1000.0]"),
        ({**REAL, "default": "1"}, 'default "1" is not a number'),
        ({**REAL, "default": None}, "default null is not a number"),
        ({**REAL, "default": True}, "default true is not a number"),
        ({**INTEGER, "default": 2.5}, "default 2.5 is not an integer"),
        ({**INTEGER, "default": 11}, "default 11 is not in [1, 10]"),
        (
            {"type": "integer", "low": 1, "high": 9, "step": 2, "default": 8},
            "default 8 is not an allowed value (step 2); the nearest values are 7 and 9",
        ),
        (categorical("rbf", "poly", default="pol"), 'default "pol" is not one of "rbf", "poly"'),
        (categorical("rbf", "poly", default=None), 'default null is not one of "rbf", "poly"'),
        (categorical(1, "a", default=True), 'default true is not one of 1, "a"'),
        (categorical(1, default=print), "default"),
        (categorical(1, default=np.int64), "default"),
    ],
)
def test_a_default_that_is_not_allowed_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        Space.from_toml({"x": table})
    said = str(refused.value)
    assert said.startswith(f"[space] x: {message}")
    assert said.endswith("; write an allowed value, or leave the default out")
    assert "\n" not in said


def test_the_text_of_a_dimension_ends_with_its_default() -> None:
    space = Space.from_toml(
        {"C": {**REAL, "default": 1}, "n": {**INTEGER, "default": 3}, "k": categorical("a", None, default=None)}
    )
    assert [str(dimension) for dimension in space.dimensions] == [
        "real, 0.001 to 1000, log-uniform; default 1.0",
        "integer, 1 to 10, uniform; default 3",
        '"a", null; default null',
    ]
    message = '^parameter \'k\': "b" is not one of "a", null$'
    with pytest.raises(UsageError, match=message):
        space.parse({"C": "1", "n": "1", "k": "b"})
    with pytest.raises(UsageError, match=message):
        space.normalise({"C": 1, "n": 1, "k": "b"})


def study_of(**dimensions: Any) -> Any:
    return assemble({"name": "s"}, tables={"objective": {"function": "m:f"}, "space": dimensions})


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ({**REAL, "default": 1}, {**REAL, "default": 2}, ("1.0", "2.0")),
        (REAL, {**REAL, "default": 1}, ("nothing", "1.0")),
        (categorical({}, 1), categorical({}, 1, default={}), ("nothing", "{}")),
        (categorical(None, "null", default=None), categorical(None, "null", default="null"), ("null", '"null"')),
    ],
)
def test_a_changed_default_is_another_study(one: Any, other: Any, shown: tuple[str, str]) -> None:
    recorded, asked = study_of(x=one), study_of(x=other)
    assert recorded.space != asked.space
    assert recorded.spec_hash != asked.spec_hash
    message = "space.x.default: the study has {}, but {} is requested"
    assert differences(recorded, asked) == [message.format(*shown)]
    assert differences(asked, recorded) == [message.format(*reversed(shown))]
    assert differences(asked, study_of(x=other)) == []


def test_a_default_of_another_package_is_ignored() -> None:
    configspace = pytest.importorskip("ConfigSpace")
    space = configspace.ConfigurationSpace(
        [configspace.Float("a", (0, 1), default=0.25), configspace.Categorical("k", ["a", "b"], default="b")]
    )
    assert from_any(space).defaults == {}


def test_the_spaces_of_the_models_have_no_defaults() -> None:
    for model in MODELS:
        assert assemble({"model": model}).space.defaults == {}


def with_defaults(space: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    tables = {dimension["name"]: dimension for dimension in Space.from_toml(space).to_json()}
    return {
        name: {key: value for key, value in table.items() if key != "name"}
        | ({"default": defaults[name]} if name in defaults else {})
        for name, table in tables.items()
    }


WHOLE = {"C": 1.0, "degree": 3, "kernel": False, "leaves": 31, "fixed": "one"}


@pytest.mark.parametrize("defaults", [WHOLE, {"C": 1.0, "kernel": False}, {"fixed": "one"}])
def test_only_the_first_point_takes_the_defaults(defaults: dict[str, Any]) -> None:
    plain = propose(make(MIXED), 0, 0, 4, ProposalInput()).points
    points = propose(make(with_defaults(MIXED, **defaults)), 0, 0, 4, ProposalInput()).points
    assert points == [{**plain[0], **defaults}, *plain[1:]]
    assert list(points[0]) == list(plain[0])


def test_a_surrogate_proposes_the_other_points() -> None:
    plain, other = make(MIXED), make(with_defaults(MIXED, C=1.0))
    history = [
        Observation({**point, "C": 0.5 + index}, 0.1 * index, 1.0)
        for index, point in enumerate(propose(plain, 0, 0, 5, ProposalInput()).points, start=1)
    ]
    before, after = (propose(study, 1, 0, 3, ProposalInput(history)) for study in (plain, other))
    assert after.points == [{**before.points[0], "C": 1.0}, *before.points[1:]]
    assert after.surrogate == before.surrogate is not None


@pytest.mark.parametrize("where", ["observations", "excluded", "in_flight"])
def test_defaults_that_a_trial_has_are_not_proposed_again(where: str) -> None:
    study, plain = make(with_defaults(MIXED, C=1.0, kernel=1)), make(MIXED)
    (known,) = propose(plain, 7, 0, 1, ProposalInput()).points

    def given(params: dict[str, Any]) -> ProposalInput:
        trials: Any = [Observation(params, None, None)] if where == "observations" else [params]
        return ProposalInput(**{where: trials})

    expected = propose(plain, 1, 0, 2, given(known)).points
    # JSON has 1 instead of 1.0
    tried = given({**known, "C": 1, "kernel": 1})
    assert propose(study, 1, 0, 2, tried).points == expected
    for params in ({**known, "C": 1.0, "kernel": 2.5}, {**known, "C": 2.0, "kernel": 1}):
        points = propose(study, 1, 0, 2, given(params)).points
        assert points == [{**expected[0], "C": 1.0, "kernel": 1}, expected[1]]


@pytest.mark.parametrize(
    ("space", "defaults"),
    [
        (INTEGERS, {"degree": 2, "leaves": 3}),
        (CATEGORIES, {"kernel": "poly"}),
        ({name: GRIDS[name] for name in ("size", "weight", "fixed")}, {"size": "l", "weight": {"a": None}}),
    ],
)
def test_a_finite_space_with_defaults_is_used_up(space: dict[str, Any], defaults: dict[str, Any]) -> None:
    study = make(with_defaults(space, **defaults), "RF", initial=4)
    history: list[Observation] = []
    iteration = 0
    while points := propose(study, iteration, 0, 5, ProposalInput(history)).points:
        history += [Observation(params, 0.1 * (index % 3), 1.0) for index, params in enumerate(points)]
        iteration += 1
    assert defaults.items() <= history[0].params.items()
    assert len(history) == study.space.size() == len({json.dumps(one.params) for one in history})


@settings(max_examples=30)
@given(st.data(), st.integers(1, 12), st.integers(0, 2**31 - 1))
def test_any_defaults_lead_to_a_valid_first_point(data: Any, size: int, seed: int) -> None:
    plain = make(GRIDS, seed=seed)
    chosen = {
        dimension.name: dimension.value(data.draw(st.integers(0, (dimension.size() or 1) - 1)))
        for dimension in plain.space.dimensions
        if data.draw(st.booleans())
    }
    study = make(with_defaults(GRIDS, **chosen), seed=seed)
    before, after = (propose(one, 0, 0, size, ProposalInput()).points for one in (plain, study))
    assert after[0] == {**before[0], **chosen}
    assert repr(study.space.normalise(jsonb(after[0]))) == repr(after[0])
    assert len({json.dumps(point) for point in after}) == size
    assert all(old == new or old == after[0] for old, new in zip(before[1:], after[1:], strict=True))
