"""Distributed Bayesian hyper-parameter search whose whole state is a PostgreSQL database.

In Python: `objective`, `Study` and `load_study` (docs/own-objective.md); each is loaded when it is asked for.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "objective": "ledger.objectives.decorator",
    "Context": "ledger.objectives.context",
    "Study": "ledger.scripting",
    "StudyResult": "ledger.scripting",
    "load_study": "ledger.scripting",
}


def __getattr__(name: str) -> Any:
    # by name, so that importing any part of the package loads none of these
    if name not in _PLACES:
        raise AttributeError(f"module 'ledger' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_PLACES]
