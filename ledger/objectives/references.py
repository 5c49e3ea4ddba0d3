"""References to objects in modules. An example of a reference is "package.module:function"."""

import functools
import importlib
import inspect
import sys
from collections.abc import Collection
from contextlib import suppress
from types import MethodType, ModuleType
from typing import Any

from ledger.errors import LedgerError, UsageError
from ledger.objectives import search_path
from ledger.text import nearest, one_line


def check_form(reference: str, what: str, form: str) -> None:
    """Raise a UsageError if `reference` does not have the form "package.module:name". The check imports no module.

    Parameters
    ----------
    reference : str
        The reference to check.
    what, form : str
        Two texts for the error message: the kind of the object, such as "estimator", and the required form.
    """
    if _has_form(reference):
        return
    meant = corrected(reference)
    # The name of an estimator's class begins with a capital letter. A text such as "sklearn.svm" names only a module.
    if meant is not None and what == "estimator" and not meant.partition(":")[2][0].isupper():
        meant = None
    suggestion = "" if meant is None else f"; did you mean {one_line(repr(meant))}?"
    raise UsageError(f"{what} {one_line(repr(reference))} must have the form {form}{suggestion}")


def corrected(reference: str) -> str | None:
    """Return the reference of the form "package.module:name" that the user has probably meant.

    The result is None if the text does not contain both a module and a name. If the text already has the form
    "package.module:name", the function returns the text unchanged.

    Examples
    --------
    >>> corrected("train.py:loss"), corrected("models/train.py:loss"), corrected("train.loss")
    ('train:loss', 'models.train:loss', 'train:loss')
    >>> corrected("train.py")
    """
    place, colon, name = reference.partition(":")
    module = place.removeprefix("./").removesuffix(".py").replace("/", ".")
    if not colon:
        if place.endswith(".py"):
            return None
        module, _, name = module.rpartition(".")
    found = f"{module}:{name}"
    return found if _has_form(found) else None


def resolve(reference: str, what: str, allowed: Collection[str], folder: str | None = None) -> Any:
    """Import the callable object to which `reference` refers, if this process may run code of the object's module.

    Parameters
    ----------
    reference : str
        A reference of the form "package.module:name".
    what : str
        The kind of the object in error messages, such as "objective" or "estimator".
    allowed : collection of str
        Names of the packages and modules whose objects this process may use. If `allowed` contains the name of a
        package, this process may also use all modules of the package.
    folder : str, optional
        Additional folder in which Python searches for the module, after all folders of ``sys.path``.

    Raises
    ------
    LedgerError
        The module is not in `allowed`, or cannot be imported. The function also raises LedgerError if the module does
        not contain the object, or if the object is not callable. The message is one line.
    """
    module_name, _, name = reference.partition(":")
    _check_allowed(reference, what, module_name, allowed)
    package = module_name.partition(".")[0]
    if folder is not None:
        search_path.append_for(package, folder)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # An import runs code that may raise any exception.
        raise LedgerError(
            f"{what} {reference!r}: module {module_name!r} cannot be imported "
            f"({type(error).__name__}: {one_line(str(error))}); install the module on the worker's machine, or put the "
            f"module's folder on PYTHONPATH{_hint(package, folder)}"
        ) from error
    # A module inherits attributes such as `__init__` from its type. An inherited attribute does not belong to the
    # user's code.
    if not hasattr(module, name) or (name not in getattr(module, "__dict__", {}) and hasattr(ModuleType, name)):
        raise LedgerError(
            f"{what} {reference!r}: module {module_name!r} has no {name!r}; {_way_out(what, module, name)}"
            f"{_hint(package, folder)}"
        )
    found = getattr(module, name)
    if not callable(found):
        needed = "a function" if what == "objective" else "a class or a function"
        raise LedgerError(f"{what} {reference!r} is of type {type(found).__name__}; {needed} is needed")
    # A module of an allowed package may import objects of other packages, such as subprocess.run. The module that
    # defines the object must belong to an allowed package. If the object is a wrapper, such as
    # functools.partial(subprocess.run), an allowed package must define the function inside the wrapper.
    _check_allowed(reference, what, defining_module(found), allowed)
    return found


def is_in(module: str, packages: Collection[str]) -> bool:
    """Return whether a module is one of `packages`, or a part of one of `packages`.

    Examples
    --------
    >>> is_in("sklearn.svm", ["sklearn"]), is_in("sklearnex", ["sklearn"])
    (True, False)
    """
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def defining_module(function: Any) -> str:
    """Return the name of the module that defines the code of a callable.

    For a function with decorators, the result is the module of the original function, not the module of a decorator.
    For a bound method, the result is the module of the method's function. For a callable object that is not a function,
    a method or a class, the result is the module of the object's class.
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
    # Some functions written in C have no module. The code treats a function without a module as a function of the
    # module `builtins`.
    module = getattr(function, "__module__", None) if is_code else type(function).__module__
    return module if isinstance(module, str) else "builtins"


def _has_form(reference: str) -> bool:
    module, _, name = reference.partition(":")
    # A text such as "train.py" is the name of a file, and not the module "py" of a package.
    return not module.endswith(".py") and all(part.isidentifier() for part in (*module.split("."), name))


def _hint(package: str, folder: str | None) -> str:
    """If Python imported another module instead of the module in `folder`, return a hint for an error message. In all
    other cases, return an empty text.
    """
    if folder is None or folder in sys.path or package not in sys.modules or not search_path.contains(folder, package):
        return ""
    file = getattr(sys.modules[package], "__file__", None) or "a module of Python"
    return (
        "; or rename the module in the current folder, because Python imported another module with the same name"
        f" ({one_line(str(file))})"
    )


def _way_out(what: str, module: ModuleType, name: str) -> str:
    if what == "objective":
        return "define the function in this module"
    return f"name a class of this module{nearest(name, [name for name in dir(module) if name[:1].isupper()])}"


def _check_allowed(reference: str, what: str, module: str, allowed: Collection[str]) -> None:
    if not is_in(module, allowed):
        package = module.partition(".")[0]
        raise LedgerError(
            f"{what} {reference!r} is defined in {module!r}, and this worker has no permission to run code of this"
            f" module; permit the module with --allow {package}"
        )
