"""Distributed Bayesian hyper-parameter search that stores its whole state in a PostgreSQL database.

The functions `minimize` and `maximize` search for the parameters with which a function returns its best value. The
decorator `objective` declares that a function is an objective. The function `command` returns an objective that runs a
program, and the function `estimator` returns an objective that trains an estimator. The class `Study` has methods that
control a search. `Study.start` returns a `RunningSearch`. `Study.ask` returns an `AskedTrial`, which the calling
program trains without a worker. `list_studies` lists the studies. `load_study` reads a study from the ledger, and
returns a `StudyResult` with the study's `Trial` objects. An `Artifact` is a file that a trial has saved. `load_model`
returns a `KeptModel`, which is the fitted model of a study's best trial. `compare` compares studies, and returns a
`StudyComparison`. A `StudyComparison` consists of `StudyGroup` objects. A `StudyGroup` contains a `ComparedStudy` for
each study. An objective can have a second parameter, which receives a `Context`. `Context.restore` returns a
`Checkpoint`, which is the saved state of a training. A `LedgerError` is an exception with a message for the user. A
`StudyFailedError` is a `LedgerError` that contains the traceback of the objective. A `UsageError` is a `LedgerError`
that reports an invalid request, such as an invalid argument. If the rule of early stopping has stopped a trial, the
objective raises `TrialPruned` to end the training. A type checker can use the types `SearchSpace`, `OptimizerOptions`,
`StoppingOptions` and `LimitOptions` to check the arguments in a program. The module `space` converts the dimensions of
other packages to a search space.

The package loads each of its modules only when a program first uses a name from the module. Therefore `import ledger`
is fast, and loads no third-party package.
"""

import logging
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Artifact",
    "AskedTrial",
    "Checkpoint",
    "ComparedStudy",
    "Context",
    "EstimatorObjective",
    "KeptModel",
    "LedgerError",
    "LimitOptions",
    "OptimizerOptions",
    "RunningSearch",
    "SearchSpace",
    "StoppingOptions",
    "Study",
    "StudyComparison",
    "StudyFailedError",
    "StudyGroup",
    "StudyResult",
    "StudySummary",
    "Trial",
    "TrialPruned",
    "UsageError",
    "__version__",
    "command",
    "compare",
    "estimator",
    "list_studies",
    "load_model",
    "load_study",
    "maximize",
    "minimize",
    "objective",
    "space",
]

# The program that imports this package decides which log records are shown (see Python's logging HOWTO).
logging.getLogger("ledger").addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from ledger import space
    from ledger.api import Study
    from ledger.artifacts import Artifact
    from ledger.asking import AskedTrial
    from ledger.background import RunningSearch
    from ledger.comparison import StudyComparison, compare
    from ledger.errors import LedgerError, StudyFailedError, TrialPruned, UsageError
    from ledger.kept_model import KeptModel, load_model
    from ledger.objectives.checkpointing import Checkpoint
    from ledger.objectives.context import Context
    from ledger.one_call import maximize, minimize
    from ledger.report.comparison import ComparedStudy, StudyGroup
    from ledger.study.arguments import LimitOptions, OptimizerOptions, SearchSpace, StoppingOptions
    from ledger.study.command import command
    from ledger.study.decorator import objective
    from ledger.study.estimator import EstimatorObjective, estimator
    from ledger.study_listing import StudySummary, list_studies
    from ledger.study_result import StudyResult, Trial, load_study
else:
    from importlib import import_module

    _MODULES = {
        "Artifact": "ledger.artifacts",
        "AskedTrial": "ledger.asking",
        "Checkpoint": "ledger.objectives.checkpointing",
        "ComparedStudy": "ledger.report.comparison",
        "Context": "ledger.objectives.context",
        "EstimatorObjective": "ledger.study.estimator",
        "KeptModel": "ledger.kept_model",
        "LedgerError": "ledger.errors",
        "LimitOptions": "ledger.study.arguments",
        "OptimizerOptions": "ledger.study.arguments",
        "RunningSearch": "ledger.background",
        "SearchSpace": "ledger.study.arguments",
        "StoppingOptions": "ledger.study.arguments",
        "Study": "ledger.api",
        "StudyComparison": "ledger.comparison",
        "StudyFailedError": "ledger.errors",
        "StudyGroup": "ledger.report.comparison",
        "StudyResult": "ledger.study_result",
        "StudySummary": "ledger.study_listing",
        "Trial": "ledger.study_result",
        "TrialPruned": "ledger.errors",
        "UsageError": "ledger.errors",
        "command": "ledger.study.command",
        "compare": "ledger.comparison",
        "estimator": "ledger.study.estimator",
        "list_studies": "ledger.study_listing",
        "load_model": "ledger.kept_model",
        "load_study": "ledger.study_result",
        "maximize": "ledger.one_call",
        "minimize": "ledger.one_call",
        "objective": "ledger.study.decorator",
        "space": "ledger.space",
    }

    # A type checker ignores the `else` branch of `if TYPE_CHECKING`. With the function `__getattr__`, a type checker
    # would accept every name as an attribute of the package.
    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module 'ledger' has no attribute {name!r}")
        module = import_module(_MODULES[name])
        value = globals()[name] = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
        return value

    def __dir__():
        return sorted({*globals(), *_MODULES})
