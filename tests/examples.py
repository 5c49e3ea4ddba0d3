"""The examples in the docstrings of the package, as doctests."""

import doctest
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import ledger

# These modules need the packages of the extra `frameworks`, so tests/frameworks runs their examples.
FRAMEWORKS = ("ledger.integrations.keras", "ledger.integrations.lightning")

_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# calls that reach a database
_USES_LEDGER = (
    ".run(",
    ".start(",
    ".ask(",
    "ledger.minimize(",
    "ledger.maximize(",
    "load_study(",
    "load_model(",
    "list_studies(",
    "ledger.compare(",
    ".annotate(",
    "storage(",
    "search.fit(",
)


def collect(*, uses_ledger: bool) -> list[doctest.DocTest]:
    """The examples of each docstring, of those that reach a database or of the others."""
    return [
        test
        for test in collect_of(*(module for module in _modules() if module not in FRAMEWORKS))
        if uses_ledger == any(call in step.source for step in test.examples for call in _USES_LEDGER)
    ]


def collect_of(*modules: str) -> list[doctest.DocTest]:
    """The examples of each docstring of some modules."""
    finder = doctest.DocTestFinder()
    return [
        test
        for module in modules
        # named __main__, as the module of a user's script is
        for test in finder.find(import_module(module), extraglobs={"__name__": "__main__"})
        if test.examples
    ]


def _modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(ledger.__path__, "ledger."):
        spec: Any = module.module_finder.find_spec(module.name, None)
        # only those with an example are imported
        if ">>> " in Path(spec.origin).read_text(encoding="utf-8"):
            yield module.name


def run(test: doctest.DocTest) -> None:
    """Run the examples of a docstring, and fail with the differences."""
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=_OPTIONS)
    assert runner.run(test, out=report.append).failed == 0, "".join(report)
