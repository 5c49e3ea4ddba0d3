"""A user's own objective, named as package.module:function."""

import importlib
import inspect
from collections.abc import Callable, Collection
from typing import Any

from ledger.errors import LedgerError, UsageError
from ledger.objectives import carried
from ledger.objectives.context import Context
from ledger.text import one_line


def check_reference(function: str) -> None:
    """Raise UsageError unless `function` has the form "package.module:function". Nothing is imported."""
    module, _, name = function.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise UsageError(f"objective function {function!r} must have the form package.module:function")


def load_function(reference: str, allowed: Collection[str]) -> Callable[[dict[str, Any], Context], Any]:
    """Load the function that `reference` names, as one that always takes the parameters and the context.

    Parameters
    ----------
    reference : str
        "package.module:function", or "__main__:function" for one that was carried here. The function takes the
        parameters as a dict. It is given the context too if it has a parameter named ``context``, or else a second
        positional one.
    allowed : collection of str
        Packages, or modules by their dotted names, whose code may be run; each permits all that is below it.

    Raises
    ------
    LedgerError
        Not of that form, not allowed, not importable, missing, not callable, or not callable with a dict. One line.
    """
    check_reference(reference)
    module_name, _, name = reference.partition(":")
    if module_name == carried.MODULE:
        return _with_context(reference, carried.read(name))
    _check_allowed(reference, module_name, allowed)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # an import runs code that can raise anything
        raise LedgerError(
            f"objective {reference!r}: module {module_name!r} cannot be imported "
            f"({type(error).__name__}: {one_line(str(error))}); install it where the worker runs, or put its folder on "
            "PYTHONPATH"
        ) from error
    if not hasattr(module, name):
        raise LedgerError(f"objective {reference!r}: module {module_name!r} has no {name!r}; define it there")
    function = getattr(module, name)
    if not callable(function):
        raise LedgerError(f"objective {reference!r} is of type {type(function).__name__}; a function is needed")
    # A module also holds what it imported: permitting a package must not permit the subprocess.run that it imports.
    if inspect.isroutine(function) or inspect.isclass(function):
        _check_allowed(reference, function.__module__ or "builtins", allowed)
    return _with_context(reference, function)


def _check_allowed(reference: str, module: str, allowed: Collection[str]) -> None:
    if not any(module == package or module.startswith(f"{package}.") for package in allowed):
        package = module.partition(".")[0]
        raise LedgerError(
            f"objective {reference!r} is code of {module!r}, which this worker may not run; permit it with "
            f"--allow {package}"
        )


def _with_context(reference: str, function: Callable[..., Any]) -> Callable[[dict[str, Any], Context], Any]:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some of those written in C have none
        return lambda params, _: function(params)
    later = list(signature.parameters.values())[1:]
    named = any(one.name == "context" and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) for one in later)
    second = bool(later) and later[0].kind in (later[0].POSITIONAL_ONLY, later[0].POSITIONAL_OR_KEYWORD)
    try:
        # by position where both would do: a decorator may show the function's signature and pass only *args on
        if second and (later[0].name == "context" or not named):
            signature.bind({}, None)
            return lambda params, context: function(params, context)
        if named:
            signature.bind({}, context=None)
            return lambda params, context: function(params, context=context)
        signature.bind({})
        return lambda params, _: function(params)
    except TypeError as error:
        raise LedgerError(
            f"objective {reference!r} must take a dict of parameters and nothing else but a context ({error})"
        ) from error
