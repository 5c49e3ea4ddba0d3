"""Distributed Bayesian hyper-parameter search whose whole state is a PostgreSQL database.

In Python: `objective`, `Study` and `load_study` (docs/own-objective.md); each is loaded when it is asked for.
"""

import logging
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# A library leaves it to its host what is shown of its log (Python's logging HOWTO).
logging.getLogger("ledger").addHandler(logging.NullHandler())

_PLACES = {
    "objective": "ledger.study.decorator",
    "Context": "ledger.objectives.context",
    "Study": "ledger.api",
    "StudyResult": "ledger.api",
    "load_study": "ledger.api",
}


def __getattr__(name: str) -> Any:
    # by name, so that importing any part of the package loads none of these
    if name not in _PLACES:
        raise AttributeError(f"module 'ledger' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_PLACES]
