"""What turns parameters into a loss. Light to import: a manager reads the names here and must load no booster."""

from ledger.objectives.context import Context
from ledger.objectives.datasets import DATASETS
from ledger.objectives.function import check_reference
from ledger.objectives.loading import load
from ledger.objectives.parameters import MODELS, check
from ledger.objectives.result import ObjectiveError, Result
from ledger.objectives.spaces import DEFAULT_SPACES

__all__ = [
    "DATASETS",
    "DEFAULT_SPACES",
    "MODELS",
    "Context",
    "ObjectiveError",
    "Result",
    "check",
    "check_reference",
    "load",
]
