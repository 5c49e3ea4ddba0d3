"""Functions that no module holds, of a notebook, a script or a closure: carried to the workers of one run in a file.

The file is a pickle, which runs code when it is read. So it never comes from the database: only a worker whose
environment names it reads it, as the workers do that `ledger.Study.run` starts, and only where its user owns it.
"""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger.errors import LedgerError, UsageError
from ledger.text import one_line

# The environment variable that names the file.
VARIABLE = "LEDGER_CARRIED_FUNCTION"
# In place of a module, in an objective's reference.
MODULE = "__main__"


def write(function: Callable[..., Any], file: Path) -> None:
    """Write a function with all that it refers to, but what modules hold.

    Raises
    ------
    UsageError
        It refers to what cannot leave this process. One line.
    """
    import cloudpickle

    try:
        content = cloudpickle.dumps({"name": function.__name__, "function": function})
    except Exception as error:  # somebody else's __reduce__ may raise anything
        raise UsageError(
            f"objective {function.__name__} cannot be carried to workers ({type(error).__name__}:"
            f" {one_line(str(error))}): let it make within itself what it needs, or move it into a module"
        ) from None
    file.write_bytes(content)


def read(name: str) -> Callable[..., Any]:
    """Return the function that was written for the workers of this run.

    Raises
    ------
    LedgerError
        There is none of this name, or it cannot be read here. One line.
    """
    where = os.environ.get(VARIABLE)
    if not where:
        raise LedgerError(
            f"objective {name!r} is a function of a script or notebook, which only the workers that its own run()"
            " starts know: run that again, or move the function into a module, which any worker can load"
        )
    try:
        file = Path(where)
        if file.stat().st_uid != os.getuid():
            raise PermissionError(f"{where} is another user's")
        carried = pickle.loads(file.read_bytes())  # noqa: S301 (written by this user, for this worker)
    except Exception as error:  # unpickling imports, and so may raise anything
        raise LedgerError(
            f"objective {name!r} cannot be loaded by this worker ({type(error).__name__}: {one_line(str(error))}):"
            " move it into a module"
        ) from error
    if carried["name"] != name:
        raise LedgerError(f"objective {name!r} is not the one that this worker was started for, {carried['name']!r}")
    function: Callable[..., Any] = carried["function"]
    return function
