"""Objectives. An objective is a function that computes a value from parameters.

The import of this package loads no model library, because a manager imports this package but trains no model.
"""

from ledger.objectives.context import Context
from ledger.objectives.datasets import DATASETS
from ledger.objectives.function import check_reference
from ledger.objectives.loading import load, runs_users_code
from ledger.objectives.parameters import MODELS, check
from ledger.objectives.result import InvalidResultError, ObjectiveResult
from ledger.objectives.spaces import DEFAULT_SPACES, default_space
from ledger.objectives.value_scale import DIRECTIONS, Direction, ValueScale, value_scale

__all__ = [
    "DATASETS",
    "DEFAULT_SPACES",
    "DIRECTIONS",
    "MODELS",
    "Context",
    "Direction",
    "InvalidResultError",
    "ObjectiveResult",
    "ValueScale",
    "check",
    "check_reference",
    "default_space",
    "load",
    "runs_users_code",
    "value_scale",
]
