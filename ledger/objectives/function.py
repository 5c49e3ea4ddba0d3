"""A user's function as an objective. A reference of the form package.module:function names the function."""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from types import MethodType, ModuleType
from typing import Any

from ledger.errors import LedgerError, UsageError
from ledger.objectives import pickled, search_path
from ledger.objectives.context import Context
from ledger.text import one_line


def check_reference(function: str) -> None:
    """Raise a UsageError unless `function` has the form "package.module:function". The check imports no module."""
    module, _, name = function.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise UsageError(f"objective function {function!r} must have the form package.module:function")


def load_function(
    reference: str, allowed: Collection[str], folder: str | None = None
) -> Callable[[dict[str, Any], Context], Any]:
    """Load the function that `reference` names. The returned function takes the parameters and the context.

    Parameters
    ----------
    reference : str
        "package.module:function" for a function in a module, or "__main__:function" for a pickled function. The user's
        function takes the parameters as a dict. If the user's function has a parameter ``context`` or a second
        positional parameter, the user's function also receives the context.
    allowed : collection of str
        Names of the packages and modules whose functions this process may run. If `allowed` contains the name of a
        package, all modules of the package are allowed, too.
    folder : str, optional
        Additional folder in which Python searches for the module, after all folders of ``sys.path``.

    Raises
    ------
    LedgerError
        The reference is invalid, the module is not in `allowed`, or the module cannot be imported. A LedgerError also
        occurs if the module does not contain the function, or if the function cannot be called with a dict. The message
        is one line.
    """
    check_reference(reference)
    module_name, _, name = reference.partition(":")
    if module_name == pickled.MODULE:
        return _with_context(reference, pickled.read(name))
    _check_allowed(reference, module_name, allowed)
    package = module_name.partition(".")[0]
    if folder is not None:
        search_path.append_for(package, folder)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # An import runs code that may raise any exception.
        raise LedgerError(
            f"objective {reference!r}: module {module_name!r} cannot be imported "
            f"({type(error).__name__}: {one_line(str(error))}); install the module on the worker's machine, or put its "
            f"folder on PYTHONPATH{_hint(package, folder)}"
        ) from error
    # A module inherits attributes such as `__init__` from its type. An inherited attribute is not a function of the
    # user.
    if not hasattr(module, name) or (name not in getattr(module, "__dict__", {}) and hasattr(ModuleType, name)):
        raise LedgerError(
            f"objective {reference!r}: module {module_name!r} has no {name!r}; define the function in this module"
            f"{_hint(package, folder)}"
        )
    function = getattr(module, name)
    if not callable(function):
        raise LedgerError(f"objective {reference!r} is of type {type(function).__name__}; a function is needed")
    # A module of an allowed package may import functions of other packages, such as subprocess.run. The module that
    # defines the objective must belong to an allowed package. If the objective is a wrapper, such as
    # functools.partial(subprocess.run), an allowed package must define the function inside the wrapper.
    _check_allowed(reference, defining_module(function), allowed)
    return _with_context(reference, function)


def defining_module(function: Any) -> str:
    """Return the name of the module that defines the code of a callable.

    For a function with decorators, the result is the module of the function inside all decorators. For a bound method,
    the result is the module of the method's function. For an object that is neither a function, a method nor a class,
    the result is the module of the object's class.
    """
    # The number of loop iterations is limited, because wrapper objects can refer to each other in a circle.
    for _ in range(100):
        inner = function
        if isinstance(inner, functools.partial):
            inner = inner.func
        elif isinstance(inner, MethodType):
            inner = inner.__func__
        else:
            with suppress(ValueError):  # The decorators form a circle.
                inner = inspect.unwrap(inner)
        if inner is function:
            break
        function = inner
    is_code = inspect.isroutine(function) or inspect.isclass(function)
    # Some functions written in C have no module. A function without a module counts as a function of the module
    # builtins.
    module = getattr(function, "__module__", None) if is_code else type(function).__module__
    return module if isinstance(module, str) else "builtins"


def _hint(package: str, folder: str | None) -> str:
    """Return a hint for an error message if Python imported another module than the module in `folder`, else ""."""
    if folder is None or folder in sys.path or package not in sys.modules or not search_path.contains(folder, package):
        return ""
    file = getattr(sys.modules[package], "__file__", None) or "a module of Python"
    return f", or rename the module of the current folder, because Python finds {one_line(str(file))} first"


def _check_allowed(reference: str, module: str, allowed: Collection[str]) -> None:
    if not any(module == package or module.startswith(f"{package}.") for package in allowed):
        package = module.partition(".")[0]
        raise LedgerError(
            f"objective {reference!r} is defined in {module!r}, and this worker has no permission to run code of this"
            f" module; permit the module with --allow {package}"
        )


def _with_context(reference: str, function: Callable[..., Any]) -> Callable[[dict[str, Any], Context], Any]:
    try:
        signature = inspect.signature(function)
    except ValueError:  # Some functions written in C have no signature.
        return lambda params, _: function(params)
    others = list(signature.parameters.values())[1:]
    is_named = any(
        other.name == "context" and other.kind in (other.POSITIONAL_OR_KEYWORD, other.KEYWORD_ONLY) for other in others
    )
    is_second = bool(others) and others[0].kind in (others[0].POSITIONAL_ONLY, others[0].POSITIONAL_OR_KEYWORD)
    try:
        # If the signature permits a second positional argument, the ledger passes the context by position. A decorator
        # may return a wrapper that shows the signature of the user's function, but accepts only positional arguments.
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
