"""Distributed Bayesian hyper-parameter search that stores its whole state in a PostgreSQL database.

The decorator `objective` declares a function to be an objective. `Study` searches the parameters of an objective on
this machine. `load_study` reads the state of a study as a `StudyResult`, which contains `Trial` objects. An objective
may take a `Context` as its second argument. A `LedgerError` has a message for the user. A `UsageError` reports an
invalid call. `SearchSpace`, `OptimizerOptions` and `LimitOptions` are types for type checkers.

The package loads a module at the first use of one of its names. Therefore `import ledger` is fast and loads no other
package.
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

# The program that imports this package decides which log records are shown (see Python's logging HOWTO).
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

    # Type checkers skip this branch. A type checker that sees `__getattr__` accepts every name as an attribute of the
    # package.
    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module 'ledger' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return value

    def __dir__():
        return sorted({*globals(), *_MODULES})
