"""Spaces of skopt, scipy, Optuna and ConfigSpace mean the same in the ledger, or are refused with the way out."""

import subprocess
import sys
from types import new_class
from typing import Any

import numpy as np
import optuna.distributions as od
import pytest
import scipy.stats
import skopt.space

import ledger
from ledger.errors import UsageError
from ledger.space import from_any
from ledger.study.dimensions import Categorical, Integer, Real
from ledger.study.file import assemble
from ledger.study.grids import StepGrid


@pytest.mark.parametrize(
    ("given", "dimension"),
    [
        (skopt.space.Real(0, 1), Real("x", 0.0, 1.0)),
        (skopt.space.Real(1e-5, 1e-1, "log-uniform", name="other"), Real("x", 1e-5, 1e-1, "log-uniform")),
        (skopt.space.Integer(1, 9), Integer("x", 1, 9)),
        (skopt.space.Integer(np.int64(1), np.int64(9), "log-uniform"), Integer("x", 1, 9, "log-uniform")),
        (skopt.space.Categorical(["a", None, 3]), Categorical("x", ("a", None, 3))),
        (skopt.space.Categorical([(1, 2), 3], prior=[0.5, 0.5]), Categorical("x", ((1, 2), 3))),
        (scipy.stats.uniform(1, 2), Real("x", 1.0, 3.0)),
        (scipy.stats.uniform(loc=-1, scale=0.5), Real("x", -1.0, -0.5)),
        (scipy.stats.loguniform(1e-3, 10), Real("x", 1e-3, 10.0, "log-uniform")),
        (scipy.stats.reciprocal(a=1, b=2), Real("x", 1.0, 2.0, "log-uniform")),
        (scipy.stats.randint(1, 9), Integer("x", 1, 8)),
        (scipy.stats.randint(3, 4), Categorical("x", (3,))),
        (od.FloatDistribution(0, 1), Real("x", 0.0, 1.0)),
        (od.FloatDistribution(1e-5, 1, log=True), Real("x", 1e-5, 1.0, "log-uniform")),
        (od.FloatDistribution(0, 1, step=0.1), Real("x", 0.0, 1.0, grid=StepGrid(0.0, 1.0, 0.1, 11))),
        (od.FloatDistribution(2, 2), Categorical("x", (2.0,))),
        (od.IntDistribution(1, 9), Integer("x", 1, 9)),
        (od.IntDistribution(1, 512, log=True), Integer("x", 1, 512, "log-uniform")),
        (od.IntDistribution(1, 9, step=4), Integer("x", 1, 9, grid=StepGrid(1, 9, 4, 3))),
        (od.CategoricalDistribution(["a", None, 1.5]), Categorical("x", ("a", None, 1.5))),
    ],
)
def test_a_dimension_of_another_package_keeps_its_values(given: Any, dimension: Any) -> None:
    (found,) = from_any({"x": given}).dimensions
    assert found == dimension
    assert [type(bound) for bound in vars(found).values()] == [type(bound) for bound in vars(dimension).values()]


def look_alike(module: str, name: str, base: type | None = None, **attributes: Any) -> Any:
    """An object of a class with the name and the module of a class of another package."""
    kind = new_class(name, () if base is None else (base,))
    kind.__module__ = module
    made = kind()
    vars(made).update(attributes)
    return made


def hyperparameter(name: str, **attributes: Any) -> Any:
    return look_alike("ConfigSpace.hyperparameters", name, **attributes)


@pytest.mark.parametrize(
    ("given", "dimension"),
    [
        (
            hyperparameter("UniformFloatHyperparameter", lower=0.1, upper=1.0, log=True),
            Real("x", 0.1, 1.0, "log-uniform"),
        ),
        (hyperparameter("UniformIntegerHyperparameter", lower=1, upper=9, log=False), Integer("x", 1, 9)),
        (
            hyperparameter("UniformIntegerHyperparameter", lower=1, upper=9, log=False, q=2),
            Integer("x", 1, 9, grid=StepGrid(1, 9, 2, 5)),
        ),
        (hyperparameter("CategoricalHyperparameter", choices=("a", None), weights=None), Categorical("x", ("a", None))),
        (hyperparameter("CategoricalHyperparameter", choices=("a", "b"), weights=(2, 2)), Categorical("x", ("a", "b"))),
        (hyperparameter("OrdinalHyperparameter", sequence=("s", "m", "l")), Categorical("x", ("s", "m", "l"), True)),
        (hyperparameter("Constant", value=3), Categorical("x", (3,))),
    ],
)
def test_a_hyperparameter_like_configspaces_keeps_its_values(given: Any, dimension: Any) -> None:
    assert from_any({"x": given}).dimensions == (dimension,)


def test_a_configuration_space_keeps_its_names_and_values() -> None:
    configspace = pytest.importorskip("ConfigSpace")
    space = configspace.ConfigurationSpace(
        {"rate": (0.1, 1.0), "depth": (1, 9), "kind": ["a", "b"], "fixed": 3}, seed=1
    )
    space.add(configspace.Float("decay", (1e-5, 1e-1), log=True))
    space.add(configspace.OrdinalHyperparameter("size", ["s", "m", "l"]))
    expected: ledger.SearchSpace = {
        "rate": (0.1, 1.0),
        "depth": (1, 9),
        "kind": ["a", "b"],
        "fixed": 3,
        "decay": (1e-5, 1e-1, "log-uniform"),
        "size": {"type": "categorical", "choices": ["s", "m", "l"], "ordered": True},
    }
    found = from_any(space)
    assert {one["name"]: one for one in found.to_json()} == {one["name"]: one for one in from_any(expected).to_json()}
    assert from_any(list(space.values())) == found
    space.add(configspace.EqualsCondition(space["rate"], space["kind"], "a"))
    with pytest.raises(UsageError, match="^space: the ConfigurationSpace has conditions or forbidden clauses"):
        from_any(space)
    for wrong, message in (
        (configspace.Categorical("k", ["a", "b"], weights=[1, 2]), "CategoricalHyperparameter has weights"),
        (configspace.Float("k", (0, 1), distribution=configspace.Normal(0.5, 0.1)), '"NormalFloatHyperparameter" of'),
    ):
        with pytest.raises(UsageError, match=f"^space k: {message}"):
            from_any([wrong])


def test_a_list_of_named_dimensions_is_a_space_in_their_order() -> None:
    dimensions = [skopt.space.Integer(1, 9, name="n"), skopt.space.Real(0, 1, name="a")]
    expected = from_any({"n": (1, 9), "a": (0.0, 1.0)})
    assert from_any(dimensions) == from_any(skopt.space.Space(dimensions)) == from_any(tuple(dimensions)) == expected
    assert from_any(expected) is expected


class OwnReal(skopt.space.Real):  # type: ignore[misc]
    """A subclass in another module."""


def test_a_subclass_is_read_as_its_base_class() -> None:
    assert from_any({"x": OwnReal(0, 1)}) == from_any({"x": (0.0, 1.0)})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": scipy.stats.norm(0, 1)}, 'space x: "norm" of scipy.stats is not supported; use uniform, loguniform or'),
        ({"x": scipy.stats.poisson(3)}, 'space x: "poisson" of scipy.stats is not supported'),
        ({"x": scipy.stats.uniform}, "space x: scipy.stats.uniform has no range; give its arguments, as in"),
        (
            {"x": scipy.stats.norm},
            'space x: "norm" of scipy.stats is not supported; use uniform, loguniform or randint',
        ),
        ({"x": scipy.stats.loguniform(1, 2, loc=1)}, "space x: scipy.stats.loguniform with loc is not log-uniform"),
        ({"x": scipy.stats.loguniform(1, 2, 1)}, "space x: scipy.stats.loguniform with loc is not log-uniform"),
        ({"x": scipy.stats.uniform([0, 1])}, "space x: scipy.stats.uniform has arrays as arguments; give one number"),
        ({"x": skopt.space.Categorical(["a", "b"], prior=[0.1, 0.9])}, "space x: Categorical has weights, but the"),
        ({"x": [(1, 2), print]}, "space x: choice print is a function, which JSON cannot"),
        ({"x": look_alike("optuna.distributions", "BetaDistribution")}, '"BetaDistribution" of optuna.distributions'),
        ({"x": hyperparameter("BetaFloatHyperparameter")}, '"BetaFloatHyperparameter" of ConfigSpace is not supported'),
        ({"x": object}, "space x:"),
        ({3: (0, 1)}, "space 3: a dimension needs a name"),
        ({3: scipy.stats.norm()}, 'space 3: "norm" of scipy.stats'),
        ([skopt.space.Real(0, 1)], "space: dimension 1 of the list has no name; give the dimension a name, as in"),
        ([(0, 1), (1, 2)], "space: dimension 1 of the list has no name; give the dimension a name, as in Real("),
        (["ab"], "space: dimension 1 of the list has no name"),
        (
            [skopt.space.Real(0, 1, name="a"), skopt.space.Real(0, 1, name="a")],
            "space a: two dimensions have this name",
        ),
        (
            skopt.space.Space([skopt.space.Real(0, 1, name="a")], constraint=len),
            "space: the skopt Space has a constraint",
        ),
        ([], "space has no dimension; add a dimension"),
        ({}, "space has no dimension; add a dimension"),
        ("x", 'space "x" is not a space; write a dict that maps the name of each parameter to its dimension'),
        (3, "space 3 is not a space; write a dict"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_one_line_with_the_way_out(given: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        from_any(given)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_entrance_takes_the_same_spaces() -> None:
    given: dict[str, Any] = {
        "rate": scipy.stats.loguniform(1e-4, 1e-1),
        "depth": od.IntDistribution(2, 8),
        "kind": [None, (1, 2)],
    }

    @ledger.objective(space=given)
    def loss(params: dict[str, Any]) -> float:
        return float(params["rate"])

    table = {
        "rate": {"type": "real", "low": 1e-4, "high": 1e-1, "prior": "log-uniform"},
        "depth": {"type": "integer", "low": 2, "high": 8},
        "kind": {"type": "categorical", "choices": "[null, [1, 2]]", "tuples": True},
    }
    # The default name contains a hash of the settings.
    name = ledger.Study(loss).name
    assert ledger.Study(loss, space=from_any(table)).name == name  # type: ignore[arg-type]
    file: dict[str, Any] = {"objective": {"function": "__main__:loss"}, "space": table}
    assert assemble({}, tables=file).name == name
    assert ledger.Study(loss, space={**given, "x": (0.0, 1.0)}).name != name


def test_the_other_packages_are_not_imported() -> None:
    script = (
        "import sys; from ledger.space import from_any; from_any({'x': (0, 1), 'k': [None]});"
        " print(sorted({'skopt', 'scipy', 'optuna', 'ConfigSpace', 'numpy'} & {*sys.modules}))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
