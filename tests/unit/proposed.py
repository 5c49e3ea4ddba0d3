"""Studies of different spaces, and observations of their first trials."""

from collections.abc import Sequence
from typing import Any

from ledger.proposals import Observation, ProposalInput, propose
from ledger.study.early_stopping import EarlyStopping
from ledger.study.file import assemble
from ledger.study.space import Space
from ledger.study.spec import DerivedSettings, OptimizerSettings, StudySpec

MIXED = {
    "C": {"type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform"},
    "degree": {"type": "integer", "low": 1, "high": 6},
    "kernel": {"type": "categorical", "choices": ["rbf", 1, False, 2.5]},
    "leaves": {"type": "integer", "low": 4, "high": 128, "prior": "log-uniform"},
    "fixed": {"type": "categorical", "choices": ["one"]},
}
GRIDS = {
    "dropout": {"type": "real", "low": 0, "high": 0.5, "step": 0.1},
    "batch": {"type": "integer", "low": 16, "high": 256, "powers_of": 2},
    "rate": {"type": "real", "low": 1e-5, "high": 1e-1, "powers_of": 10},
    "width": {"type": "integer", "low": 8, "high": 1024, "step": 8},
    "size": {"type": "categorical", "choices": ["s", "m", "l", "xl"], "ordered": True},
    "weight": [None, "balanced", (1, 2), [3], {"a": None}],
    "fixed": "constant",
}
CATEGORIES = {
    "kernel": {"type": "categorical", "choices": ["rbf", "linear", "poly"]},
    "shrinking": {"type": "categorical", "choices": [True, False]},
    "degree": {"type": "categorical", "choices": [1, 2, 3]},
}
INTEGERS = {
    "degree": {"type": "integer", "low": 1, "high": 3},
    "leaves": {"type": "integer", "low": 1, "high": 4, "prior": "log-uniform"},
}


def make(
    space: dict[str, Any],
    estimator: str = "GP",
    acq_func: str = "EI",
    *,
    seed: int = 1,
    initial: int = 2,
    whole: int | None = None,
) -> StudySpec:
    """Return a study. If `whole` is not None, a whole training has so many steps, and the rule halving stops trials."""
    return assemble({"seed": seed}).model_copy(
        update={
            "space": Space.from_toml(space),
            "optimizer": OptimizerSettings.model_validate({"base_estimator": estimator, "acq_func": acq_func}),
            "resolved": DerivedSettings(initial_points=initial),
            "stopping": EarlyStopping() if whole is None else EarlyStopping(rule="halving", max_resource=whole),
        }
    )


def observed(study: StudySpec, losses: Sequence[float | None]) -> list[Observation]:
    points = propose(
        study.model_copy(update={"resolved": DerivedSettings(initial_points=999)}), 0, 0, len(losses), ProposalInput()
    )
    return [
        Observation(params, loss, 0.5 + index)
        for index, (params, loss) in enumerate(zip(points.points, losses, strict=True))
    ]
