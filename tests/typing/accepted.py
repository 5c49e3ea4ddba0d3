"""Uses of the public API that type checkers accept, and the types that they find."""

from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

import ledger

SPACE: ledger.SearchSpace = {
    "x": (-5.0, 5.0),
    "n": (1, 10),
    "C": (1e-3, 1e3, "log-uniform"),
    "kind": ["a", "b"],
    "depth": {"type": "integer", "low": 1, "high": 4},
    "rate": {"type": "real", "low": 1e-3, "high": 1.0, "prior": "log-uniform"},
    "size": {"type": "categorical", "choices": [32, 64]},
    "dropout": {"type": "real", "low": 0.0, "high": 0.5, "step": 0.1},
    "batch": {"type": "integer", "low": 16, "high": 256, "powers_of": 2},
    "level": {"type": "categorical", "choices": ["low", "high"], "ordered": True},
    "layers": {"type": "categorical", "choices": [[64], [64, 64]], "tuples": True},
    "weight": [None, "balanced", (1, 2), {"a": 1}],
    "momentum": 0.9,
    "nothing": None,
    "momentum_decay": {"type": "real", "low": 0.0, "high": 1.0, "default": 0.5},
    "trees": {"type": "integer", "low": 1, "high": 99, "default": 10},
    "criterion": {"type": "categorical", "choices": ["a", None], "default": None},
    "odd": range(1, 10, 2),
}


@ledger.objective(space=SPACE)
def of_params(params: dict[str, Any]) -> float:
    return float(params["x"])


@ledger.objective(space={"x": (0.0, 1.0)})
def of_context(params: dict[str, float], context: ledger.Context) -> dict[str, float]:
    return {"loss": params["x"] * context.seed}


@ledger.objective(space={"x": (0.0, 1.0)})
def of_named_context(params: dict[str, float], *, context: ledger.Context) -> float:
    return params["x"] * context.study_seed


@ledger.objective
def without_space(params: dict[str, Any]) -> float:
    return float(params["x"])


class Trainer:
    @ledger.objective(space=SPACE)
    def loss(self, params: dict[str, Any], context: ledger.Context) -> float:
        return float(params["x"]) * context.seed


def a_space_is_made_from_any_form() -> None:
    assert_type(ledger.space.from_any(SPACE), ledger.space.Space)
    assert_type(ledger.space.from_any(ledger.space.from_any({"x": (0.0, 1.0)})), ledger.space.Space)
    ledger.Study(without_space, space=SPACE, name="s")
    ledger.Study(Trainer().loss, space={"x": (0.0, 1.0)})
    ledger.Study(lambda params: float(params["x"]), space={"x": (0.0, 1.0), "k": ["a", None]}, name="s")


def a_decorated_function_keeps_its_type() -> None:
    assert_type(without_space({"x": 1.0}), float)
    assert_type(of_params({"x": 1.0}), float)
    assert_type(of_context({"x": 1.0}, ledger.Context("s", 0, 1, 7, 42)), dict[str, float])


def a_study_has_typed_options_and_a_typed_result() -> None:
    options: ledger.OptimizerOptions = {"base_estimator": "RF", "acq_func": "LCB", "kappa": 1.96}
    limits: ledger.LimitOptions = {"trial_timeout": 60.0, "max_failures": 1, "keep_artifacts": "best"}
    stopping: ledger.StoppingOptions = {"rule": "halving", "eta": 3, "max_resource": 81, "enforce": True}
    study = ledger.Study(
        of_params, name="s", trials=20, mode="steady", optimizer=options, stopping=stopping, limits=limits
    )
    assert_type(study.name, str)
    assert_type(study.run(workers=2), ledger.StudyResult)
    ledger.Study(ledger.estimator("svm"), keep_models="best")
    assert_type(ledger.load_model("s", 3, allow=["own"]), ledger.KeptModel)


def a_command_is_an_objective() -> None:
    program = ledger.command([Path("code/train"), "--x={x}"], space=SPACE, params_as="variable")
    assert_type(ledger.Study(program, trials=20).run(), ledger.StudyResult)


def an_estimator_is_the_objective_of_a_study() -> None:
    steps = {"scale": "sklearn.preprocessing:StandardScaler", "svr": "sklearn.svm:SVR"}
    pipeline = ledger.estimator(steps, space={"svr__C": (0.1, 10.0)}, dataset="diabetes", cv=5)
    assert_type(pipeline, ledger.EstimatorObjective)
    ledger.estimator("xgb", data="a.csv", target_column="y", task="regression", class_weights={"no": 2.0})
    assert_type(ledger.Study(pipeline, trials=10).run(), ledger.StudyResult)


def a_result_has_typed_trials() -> None:
    result = ledger.load_study("s", database="postgresql:///ledger")
    assert_type(result, ledger.StudyResult)
    assert_type(result.trials, tuple[ledger.Trial, ...])
    assert_type(result.best_params, dict[str, Any])
    assert_type(result.best_loss, float)
    assert_type(result.best_trial.loss, float | None)
    assert_type(result.best_trial.finished_at, datetime | None)


def a_result_has_plots_and_a_model() -> None:
    result = ledger.load_study("s")
    result.plot.slice("x").write_html("slice.html")
    result.plot.contour("x", "y")
    model: Any = result.refit(threads=2, allow=["my_package"])
    assert_type(model.predict([[1.0]]), Any)
    assert_type(result.best_code, str)


def studies_are_compared() -> None:
    comparison = ledger.compare("a", "b", set_apart=True, database="postgresql:///ledger")
    assert_type(comparison, ledger.StudyComparison)
    assert_type(comparison.best, ledger.ComparedStudy)
    assert_type(comparison.groups, tuple[ledger.StudyGroup, ...])
    assert_type(comparison.best.by_time, tuple[tuple[float, float], ...])
    comparison.write_html(Path("comparison.html"))


def errors_are_exceptions() -> None:
    try:
        ledger.load_study("s")
    except ledger.UsageError as error:
        assert_type(error, ledger.UsageError)
    except ledger.LedgerError as error:
        assert_type(error.exit_code, int)


def the_version_is_text() -> None:
    assert_type(ledger.__version__, str)
