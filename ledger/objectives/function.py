"""Objectives that are functions of the user. A reference of the form ``package.module:function`` names the function."""

import dis
import inspect
from collections.abc import Callable, Collection
from typing import Any

from ledger.errors import LedgerError
from ledger.objectives import pickled, references
from ledger.objectives.context import Context


def check_reference(function: str) -> None:
    """Raise a UsageError if `function` does not have the form "package.module:function". The check imports no
    module."""
    references.check_form(function, "objective function", "package.module:function")


def load_function(
    reference: str, allowed: Collection[str], folder: str | None = None
) -> Callable[[dict[str, Any], Context], Any]:
    """Load the function to which `reference` refers. The returned function receives the parameters and the context.

    Parameters
    ----------
    reference : str
        The reference has the form "package.module:function" for a function in a module, and "__main__:function" for a
        pickled function. The user's function receives the parameters as a dict. If the user's function has a parameter
        ``context`` or a second positional parameter, the user's function also receives the context.
    allowed : collection of str
        Names of the packages and modules whose functions this process may run. If `allowed` contains the name of a
        package, this process may also use all modules of the package.
    folder : str, optional
        Additional folder in which Python searches for the module, after all folders of ``sys.path``.

    Raises
    ------
    LedgerError
        The reference is invalid, the module is not in `allowed`, or the module cannot be imported. The function also
        raises LedgerError if the module does not contain the user's function, or if the user's function does not accept
        a dict. The message is one line.
    """
    return _with_context(reference, find_function(reference, allowed, folder))


def find_function(reference: str, allowed: Collection[str], folder: str | None = None) -> Callable[..., Any]:
    """Return the user's function to which `reference` refers.

    The docstring of `load_function` describes the parameters and the exceptions.
    """
    check_reference(reference)
    module, _, name = reference.partition(":")
    if module == pickled.MODULE:
        return pickled.read(name).function
    return references.resolve(reference, "objective", allowed, folder)  # type: ignore[no-any-return]


def _with_context(reference: str, function: Callable[..., Any]) -> Callable[[dict[str, Any], Context], Any]:
    try:
        signature = inspect.signature(function)
    except ValueError:  # Some functions written in C have no signature.
        return lambda params, _: function(params)
    if call := _optuna_call(function, next(iter(signature.parameters), "")):
        raise LedgerError(
            f"objective {reference!r} calls {call}, but gets a dict of parameters instead of an Optuna trial: read"
            ' params["x"], or call the function with optuna.trial.FixedTrial(params)'
        )
    others = list(signature.parameters.values())[1:]
    is_named = any(
        other.name == "context" and other.kind in (other.POSITIONAL_OR_KEYWORD, other.KEYWORD_ONLY) for other in others
    )
    is_second = bool(others) and others[0].kind in (others[0].POSITIONAL_ONLY, others[0].POSITIONAL_OR_KEYWORD)
    try:
        # If the signature permits a second positional argument, the ledger passes the context by position. A decorator
        # may return a wrapper that has the signature of the user's function. Some wrappers accept only positional
        # arguments.
        if is_second and (others[0].name == "context" or not is_named):
            signature.bind({}, None)
            return lambda params, context: function(params, context)
        if is_named:
            signature.bind({}, context=None)
            return lambda params, context: function(params, context=context)
        signature.bind({})
        return lambda params, _: function(params)
    except TypeError as error:
        raise LedgerError(
            f"objective {reference!r} must take a dict of parameters, and may also take a context ({error})"
        ) from error


def _optuna_call(function: Callable[..., Any], parameter: str) -> str | None:
    """Return the first method `suggest_...` that the function calls on its parameter.

    Optuna trials have `suggest_...` methods.

    If the function assigns another value to its parameter, `_optuna_call` returns None. The assigned value may be an
    Optuna trial that the function has created.
    """
    code = getattr(function, "__code__", None)
    if not inspect.iscode(code):
        return None
    call = loaded = None
    for instruction in dis.get_instructions(code):
        value = instruction.argval
        # A single bytecode instruction of Python 3.13 can refer to two variables.
        names = value if isinstance(value, tuple) else (value,)
        if instruction.opname.startswith("STORE_") and parameter in names:
            return None
        is_attribute = instruction.opname in ("LOAD_ATTR", "LOAD_METHOD")
        if call is None and is_attribute and loaded == parameter and value.startswith("suggest_"):
            call = f"{parameter}.{value}"
        loaded = names[-1] if names else None
    return call
