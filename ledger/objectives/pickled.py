"""Functions of a script, a notebook or a closure, pickled for the workers of one run.

No module contains such a function, so `ledger.Study.run` writes it into a file, which its workers read. A pickle runs
code when it is read. So the file never comes from the database: a worker reads only the file that its environment
names, and only if its own user owns it.
"""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger.errors import LedgerError, UsageError
from ledger.text import one_line

# The environment variable that names the file.
VARIABLE = "LEDGER_PICKLED_FUNCTION"
# The module in the reference of such a function.
MODULE = "__main__"


def write(function: Callable[..., Any], file: Path) -> None:
    """Write a function, with everything that it refers to and that no module contains.

    Raises
    ------
    UsageError
        The function refers to an object that cannot be pickled. One line.
    """
    import cloudpickle

    try:
        content = cloudpickle.dumps({"name": function.__name__, "function": function})
    except Exception as error:  # the __reduce__ of any class may raise anything
        raise UsageError(
            f"objective {function.__name__} cannot be pickled for its workers ({type(error).__name__}:"
            f" {one_line(str(error))}): create what it needs inside the function, or move it into a module"
        ) from None
    file.write_bytes(content)


def read(name: str) -> Callable[..., Any]:
    """Return the function that was written for the workers of this run.

    Parameters
    ----------
    name : str
        The function's name.

    Raises
    ------
    LedgerError
        This worker has no such function, or cannot read it. One line.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        raise LedgerError(
            f"objective {name!r} is a function of a script or notebook, which only the workers started by its own run()"
            " can load: run that again, or move the function into a module, which every worker can load"
        )
    try:
        file = Path(path)
        if file.stat().st_uid != os.getuid():
            raise PermissionError(f"{path} belongs to another user")
        content = pickle.loads(file.read_bytes())  # noqa: S301 (written by this user, for this worker)
    except Exception as error:  # unpickling imports modules, which may raise anything
        raise LedgerError(
            f"objective {name!r} cannot be loaded by this worker ({type(error).__name__}: {one_line(str(error))}):"
            " move it into a module"
        ) from error
    if content["name"] != name:
        raise LedgerError(f"objective {name!r} is not the one that this worker was started for, {content['name']!r}")
    function: Callable[..., Any] = content["function"]
    return function
