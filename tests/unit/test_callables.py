"""Objectives that are no plain functions: found by their module, pickled with a name, or asked for a name."""

import functools
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import ledger
from ledger.errors import UsageError
from ledger.objectives import Context
from ledger.objectives.loading import load
from ledger.study.callables import name_of, space_of

MODULE = "own_callables"
SOURCE = """
import functools
import ledger

@ledger.objective
def plain(params): return params["x"]

@ledger.objective(space={"x": (0.0, 1.0)})
def scaled(params, *, factor=1.0): return params["x"] * factor

class Trainer:
    def __init__(self, factor): self.factor = factor
    def __call__(self, params): return params["x"] * self.factor
    @ledger.objective(space={"x": (0.0, 1.0)})
    def loss(self, params, context): return params["x"] * self.factor + context.trial

partial = functools.partial(scaled, factor=2.0)
instance = ledger.objective(space={"x": (0.0, 2.0)})(Trainer(3.0))
short = lambda params: params["x"]
method = Trainer(4.0).loss
"""
CONTEXT = Context(study="s", trial=1, attempt=1, seed=7, study_seed=1)


@pytest.fixture
def own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(MODULE)
    del sys.modules[MODULE]


@pytest.mark.parametrize(
    ("name", "loss"), [("plain", 0.5), ("scaled", 0.5), ("partial", 1.0), ("instance", 1.5), ("short", 0.5)]
)
def test_what_a_module_contains_is_found_by_its_module(own: ModuleType, name: str, loss: float) -> None:
    found = name_of(getattr(own, name), None)
    assert str(found) == f"{MODULE}:{name}"
    # The worker loads the same object by this name.
    assert load({"function": str(found)}, [MODULE])({"x": 0.5}, CONTEXT).loss == loss


def test_a_bound_method_is_pickled_by_its_own_name(own: ModuleType) -> None:
    assert str(name_of(own.Trainer(2.0).loss, None)) == "__main__:loss"
    assert ledger.Study(own.Trainer(2.0).loss).name.startswith("loss-42-")


@pytest.mark.parametrize(
    ("make", "described", "name"),
    [
        (lambda own: lambda params: params["x"], "a lambda", "objective"),
        (lambda own: functools.partial(own.scaled, factor=3.0), "an object of type partial", "scaled"),
        (lambda own: functools.partial(lambda params: 1.0), "an object of type partial", "objective"),
        (lambda own: own.Trainer(2.0), "an object of type Trainer", "Trainer"),
    ],
)
def test_what_has_no_name_needs_the_name_of_the_study(own: ModuleType, make: Any, described: str, name: str) -> None:
    objective = make(own)
    with pytest.raises(UsageError) as refused:
        ledger.Study(objective, space={"x": (0.0, 1.0)})
    assert str(refused.value) == (
        f"the objective is {described} without a name of its own: give the study a name, as in"
        ' Study(..., name="my-search"), or define the objective by a def statement'
    )
    assert ledger.Study(objective, space={"x": (0.0, 1.0)}, name="mine").name == "mine"
    assert str(name_of(objective, "mine")) == f"__main__:{name}"


def test_the_space_is_that_of_the_function_inside(own: ModuleType) -> None:
    for objective in (
        own.scaled,
        own.partial,
        functools.partial(own.partial, factor=1.0),
        own.method,
        own.Trainer.loss,
    ):
        found = space_of(objective)
        assert found is not None
        assert found.names == ("x",)
    instance = space_of(own.instance)
    assert instance is not None
    assert instance.to_json()[0]["high"] == 2.0
    assert space_of(own.plain) is space_of(len) is space_of(own.Trainer(1.0)) is None


def test_a_decorated_call_method_gives_its_instances_a_space() -> None:
    class Trainer:
        @ledger.objective(space={"x": (0.0, 1.0)})
        def __call__(self, params: dict[str, Any]) -> float:
            return float(params["x"])

    assert ledger.Study(Trainer(), name="mine").name == "mine"


def test_the_decorator_without_a_space_changes_nothing() -> None:
    def loss(params: dict[str, Any]) -> float:
        return float(params["x"])

    assert ledger.objective(loss) is loss
    assert ledger.objective()(loss) is loss
    with pytest.raises(UsageError) as refused:
        ledger.Study(loss)
    assert str(refused.value) == (
        "the objective 'loss' has no space: call Study(..., space={...}), or put @ledger.objective(space={...}) above"
        " the function's definition"
    )
    assert ledger.Study(loss, space={"x": (0.0, 1.0)}).name.startswith("loss-42-")


@pytest.mark.parametrize("wrong", [3, "module:loss"])
def test_what_cannot_be_called_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"^the objective .* is not callable: give a function$"):
        ledger.Study(wrong, space={"x": (0.0, 1.0)})


def test_what_can_hold_no_space_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match=r"cannot store a space; pass the space to ledger\.Study"):
        ledger.objective(space={"x": (0.0, 1.0)})(len)
    with pytest.raises(UsageError, match=r"^@ledger\.objective: 3 is not a function; decorate a function$"):
        ledger.objective(space={"x": (0.0, 1.0)})(3)  # type: ignore[type-var]
