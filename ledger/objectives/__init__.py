"""Objectives, which are functions that compute a loss from parameters.

The import of this package loads no model library, because a manager imports this package but trains no model.
"""

from ledger.objectives.context import Context
from ledger.objectives.datasets import DATASETS
from ledger.objectives.function import check_reference
from ledger.objectives.loading import load, runs_users_code
from ledger.objectives.parameters import MODELS, check
from ledger.objectives.result import InvalidResultError, ObjectiveResult
from ledger.objectives.spaces import DEFAULT_SPACES, default_space

__all__ = [
    "DATASETS",
    "DEFAULT_SPACES",
    "MODELS",
    "Context",
    "InvalidResultError",
    "ObjectiveResult",
    "check",
    "check_reference",
    "default_space",
    "load",
    "runs_users_code",
]
