"""The public face of the package: its names, what an import loads, its errors and its documentation."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import ledger
from ledger.optuna import storage
from ledger.sklearn import LedgerSearchCV
from ledger.study import arguments, dimensions, spec
from ledger.study.tables import ObjectiveTable

CALLABLES: list[Callable[..., Any]] = [
    ledger.command,
    ledger.objective,
    ledger.estimator,
    ledger.Study,
    ledger.Study.run,
    ledger.Study.start,
    ledger.Study.ask,
    ledger.RunningSearch.result,
    ledger.minimize,
    ledger.maximize,
    ledger.load_model,
    ledger.KeptModel.predict,
    ledger.KeptModel.predict_proba,
    ledger.load_study,
    ledger.compare,
    ledger.space.from_any,
    ledger.StudyResult.trials_dataframe,
    ledger.StudyResult.refit,
    storage,
    LedgerSearchCV,
]
CLASSES: list[type] = [
    ledger.Artifact,
    ledger.AskedTrial,
    ledger.Checkpoint,
    ledger.ComparedStudy,
    ledger.Context,
    ledger.EstimatorObjective,
    ledger.KeptModel,
    ledger.LedgerError,
    ledger.LimitOptions,
    ledger.OptimizerOptions,
    ledger.StudyComparison,
    ledger.StudyGroup,
    ledger.StudyResult,
    ledger.Trial,
    ledger.UsageError,
]
PROPERTIES = [ledger.Study.name, *(getattr(ledger.StudyResult, f"best_{name}") for name in ("trial", "params", "loss"))]


@ledger.objective(space={"x": (0.0, 1.0)})
def loss(params: dict[str, Any]) -> float:
    return float(params["x"])


def test_an_import_loads_no_other_package() -> None:
    script = (
        "import json, sys; before = set(sys.modules); import ledger; print(json.dumps([*set(sys.modules) - before]))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(ended.stdout)}
    assert loaded - sys.stdlib_module_names == {"ledger"}


def test_every_public_name_is_listed_once() -> None:
    assert sorted(ledger.__all__) == sorted({*vars(ledger)["_MODULES"], "__version__"})
    assert set(ledger.__all__) <= set(dir(ledger))
    for name in ledger.__all__:
        assert getattr(ledger, name) is getattr(ledger, name)
    with pytest.raises(AttributeError, match="has no attribute 'load_studdy'"):
        ledger.load_studdy  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (ledger.Study, {"iteratons": 3}, "Study() has no argument 'iteratons'; did you mean 'iterations'?"),
        (ledger.Study(loss).run, {"worker": 3}, "Study.run() has no argument 'worker'; did you mean 'workers'?"),
        (ledger.minimize, {"trails": 3}, "minimize() has no argument 'trails'; did you mean 'trials'?"),
        (ledger.Study(loss).tell, {"values": 1.0}, "Study.tell() has no argument 'values'; did you mean 'value'?"),
        (ledger.load_study, {"databse": ""}, "load_study() has no argument 'databse'; did you mean 'database'?"),
        (ledger.objective, {"sapce": {}}, "objective() has no argument 'sapce'; did you mean 'space'?"),
        (storage, {"hone": "."}, "storage() has no argument 'hone'; did you mean 'home'?"),
        (LedgerSearchCV, {"n_trails": 3}, "LedgerSearchCV() has no argument 'n_trails'; did you mean 'n_trials'?"),
        (ledger.load_study, {"colour": 1}, "load_study() has no argument 'colour'; there are name, database"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_nearest(function: Any, arguments: Any, message: str) -> None:
    with pytest.raises(ledger.UsageError) as refused:
        function(**arguments)
    assert str(refused.value) == message


def test_a_study_has_one_budget() -> None:
    ledger.Study(loss, trials=7, batch_size=4)
    with pytest.raises(ledger.UsageError, match="iterations and trials exclude each other; remove one of them"):
        ledger.Study(loss, iterations=3, trials=7)


def test_types_of_options_are_those_of_the_study_file() -> None:
    for options, model in (
        (ledger.OptimizerOptions, spec.OptimizerSettings),
        (ledger.LimitOptions, spec.TrialLimits),
    ):
        assert [*get_type_hints(options)] == [*model.model_fields]
    assert get_args(arguments.Prior) == dimensions.PRIORS
    keys = {*inspect.signature(ledger.estimator).parameters} - {"space"}
    others = {"function", "model", "steps", "command", "params_as", "direction", "record_source", "keep_models"}
    assert keys == {*ObjectiveTable.model_fields} - others


@pytest.mark.parametrize("function", CALLABLES, ids=lambda function: function.__qualname__)
def test_a_public_callable_documents_its_arguments(function: Callable[..., Any]) -> None:
    sections = sections_of(function)
    assert "Examples" in sections
    assert "Raises" in sections
    if not inspect.isclass(function):
        assert "Returns" in sections or "Yields" in sections
    parameters = [name for name in inspect.signature(function).parameters if name != "self"]
    assert re.findall(r"^(\w+) : ", sections.get("Parameters", ""), re.MULTILINE) == parameters


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_public_class_documents_its_attributes(cls: type) -> None:
    sections = sections_of(cls)
    assert "Examples" in sections
    if not issubclass(cls, Exception):
        attributes = [name for name in get_type_hints(cls) if not name.startswith("_")]
        assert re.findall(r"^(\w+) : ", sections.get("Attributes", ""), re.MULTILINE) == attributes


@pytest.mark.parametrize("property_", PROPERTIES, ids=lambda property_: property_.fget.__qualname__)
def test_a_public_property_has_an_example(property_: property) -> None:
    assert "Examples" in sections_of(property_)


def sections_of(documented: Any) -> dict[str, str]:
    """The sections of a docstring in numpy's style, by heading."""
    parts = re.split(r"^(\w[\w ]+)\n-+\n", inspect.getdoc(documented) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_command_has_a_second_name() -> None:
    commands = {entry.name: entry.value for entry in entry_points(group="console_scripts")}
    assert commands["trial-ledger"] == commands["ledger"] == "ledger.cli:main"


def test_completion_is_for_the_name_that_was_called() -> None:
    for name in ("ledger", "trial-ledger"):
        command = [str(Path(sys.executable).with_name(name)), "completion", "bash"]
        script = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert re.search(rf" {name}$", script, re.MULTILINE)
