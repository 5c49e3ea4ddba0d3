"""Misuses of the public API that mypy refuses, each with the code of its error.

With `warn_unused_ignores`, mypy also reports a misuse that it does not refuse.
"""

from typing import Any

import ledger


@ledger.objective(space={"x": (0.0, 1.0)})
def loss(params: dict[str, Any]) -> float:
    return float(params["x"])


def unknown_names() -> None:
    ledger.load_studdy("s")  # type: ignore[attr-defined]
    ledger.Study(loss, iteratons=3)  # type: ignore[call-arg]
    ledger.Study(loss).run(worker=3)  # type: ignore[call-arg]
    ledger.load_study("s", databse="postgresql:///ledger")  # type: ignore[call-arg]
    ledger.estimator("svm", datast="iris")  # type: ignore[call-arg]
    ledger.objective(spcae={"x": (0.0, 1.0)})  # type: ignore[call-overload]
    ledger.compare("s", apart=True)  # type: ignore[call-arg]
    ledger.load_study("s").plot.contours()  # type: ignore[attr-defined]
    ledger.load_study("s").best_param  # type: ignore[attr-defined]  # noqa: B018


def wrong_arguments() -> None:
    ledger.Study(loss, "s")  # type: ignore[call-arg, arg-type]
    ledger.Study("module:loss")  # type: ignore[arg-type]
    ledger.Study(loss, trials="20")  # type: ignore[arg-type]
    ledger.Study(loss, batch_size="4")  # type: ignore[arg-type]
    ledger.Study(loss, mode="stady")  # type: ignore[arg-type]
    ledger.Study(loss, optimizer={"base_estimatr": "RF"})  # type: ignore[arg-type]
    ledger.Study(loss, optimizer={"base_estimator": "GBRT"})  # type: ignore[arg-type]
    ledger.Study(loss, limits={"trial_timeout": "60"})  # type: ignore[arg-type]
    ledger.command(["./train"], space={"x": (0.0, 1.0)}, params_as="files")  # type: ignore[arg-type]
    ledger.load_study(7)  # type: ignore[arg-type]
    ledger.estimator("svm", task="regressionn")  # type: ignore[arg-type]
    ledger.estimator("svm", cv="5")  # type: ignore[arg-type]


def wrong_dimensions() -> None:
    ledger.objective(space={"x": {0.5}})  # type: ignore[dict-item]
    ledger.objective(space={"x": {"type": "real", "low": 0.0, "high": 1.0, "step": "a"}})  # type: ignore[dict-item]
    ledger.objective(space={"x": {"type": "integer", "low": 0, "high": 9, "default": 0.5}})  # type: ignore[dict-item]
    ledger.Study(loss, space=3)  # type: ignore[arg-type]
    ledger.space.from_any("x")  # type: ignore[arg-type]
    ledger.objective(space={"x": (0.0, 1.0, "log")})  # type: ignore[dict-item]
    ledger.objective(space={"kind": ("a", "b")})  # type: ignore[dict-item]
    ledger.objective(space={"x": {"type": "real", "low": 0.0, "hihg": 1.0}})  # type: ignore[dict-item]


def wrong_objectives() -> None:
    @ledger.objective(space={"x": (0.0, 1.0)})  # type: ignore[type-var]
    def returns_nothing(params: dict[str, Any]) -> None: ...

    @ledger.objective(space={"x": (0.0, 1.0)})  # type: ignore[type-var]
    def takes_a_number(x: float) -> float:
        return x

    @ledger.objective(space={"x": (0.0, 1.0)})  # type: ignore[type-var]
    def takes_three(params: dict[str, Any], context: ledger.Context, more: int) -> float:
        return 0.0


def changed_results() -> None:
    result = ledger.load_study("s")
    result.trials[0].loss + 1.0  # type: ignore[operator]
    result.state = "running"  # type: ignore[misc]
    result.trials[0].loss = 0.0  # type: ignore[misc]
