"""Distributed Bayesian hyper-parameter search whose whole state is a PostgreSQL database.

`objective` makes a function an objective, `Study` searches its parameters on this machine, and `load_study` reads the
state of a study as a `StudyResult` with its `Trial` objects. An objective may take a `Context`. A `LedgerError` has a
message for the user; a `UsageError` is a fault in the call. `SearchSpace`, `OptimizerOptions` and `LimitOptions` are
types for type checkers.

A name is loaded when it is first used, so `import ledger` alone is fast and loads no other package.
"""

import logging
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Context",
    "LedgerError",
    "LimitOptions",
    "OptimizerOptions",
    "SearchSpace",
    "Study",
    "StudyResult",
    "Trial",
    "UsageError",
    "__version__",
    "load_study",
    "objective",
]

# The host program decides which log records are shown (Python's logging HOWTO).
logging.getLogger("ledger").addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from ledger.api import Study, StudyResult, Trial, load_study
    from ledger.errors import LedgerError, UsageError
    from ledger.objectives.context import Context
    from ledger.study.arguments import LimitOptions, OptimizerOptions, SearchSpace
    from ledger.study.decorator import objective
else:
    from importlib import import_module

    _MODULES = {
        "Context": "ledger.objectives.context",
        "LedgerError": "ledger.errors",
        "LimitOptions": "ledger.study.arguments",
        "OptimizerOptions": "ledger.study.arguments",
        "SearchSpace": "ledger.study.arguments",
        "Study": "ledger.api",
        "StudyResult": "ledger.api",
        "Trial": "ledger.api",
        "UsageError": "ledger.errors",
        "load_study": "ledger.api",
        "objective": "ledger.study.decorator",
    }

    # Hidden from type checkers: with it, they would take every name for an attribute of the package.
    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module 'ledger' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return value

    def __dir__():
        return sorted({*globals(), *_MODULES})
