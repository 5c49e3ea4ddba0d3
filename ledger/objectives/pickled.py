"""Pickled objectives. `ledger.Study.run` pickles an objective if the workers cannot import the objective from a module.

For example, a worker cannot import an objective that a script, a notebook or another function defines.
`ledger.Study.run` writes the pickled function to a file, and the workers that `run` starts read this file. A worker
never reads a pickle from the database, because a pickle can run any code while Python loads the pickle. An environment
variable contains the path of the file with the pickled function. A worker reads the file of a pickled function only if
the worker's system user owns the file.
"""

import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ledger.errors import LedgerError, UsageError
from ledger.objectives import search_path
from ledger.objectives.fingerprint import ObjectiveCode
from ledger.text import one_line

# Environment variable that contains the path of the file with the pickled function.
VARIABLE = "LEDGER_PICKLED_FUNCTION"
# In a reference to a pickled function, such as "__main__:loss", `MODULE` replaces the module's name.
MODULE = "__main__"


def is_in_script(objective: Mapping[str, Any]) -> bool:
    """Whether the objective is a function of a script or a notebook. Only the script or the notebook can start workers
    for the objective.

    Examples
    --------
    >>> is_in_script({"function": "__main__:loss"}), is_in_script({"model": "svm"})
    (True, False)
    """
    return str(objective.get("function")).startswith(f"{MODULE}:")


@dataclass(frozen=True)
class PickledFunction:
    """The content of the file that `write` has written for a worker: the user's function, and the recorded code of the
    function.
    """

    function: Callable[..., Any]
    code: ObjectiveCode


def write(function: Callable[..., Any], name: str, file: Path, folder: str | None, code: ObjectiveCode) -> None:
    """Pickle a function, and write the pickle to a file.

    If the function uses an object that Python cannot import from a module, the pickle also contains the object.

    Parameters
    ----------
    function : callable
        The user's function.
    name : str
        The function's name in the study's spec, without the module.
    file : Path
        The file to write.
    folder : str or None
        Additional folder for the modules that the function imports. In the worker, Python searches for modules in
        `folder` only after all other folders of `sys.path`.
    code : ObjectiveCode
        The function's code.

    Raises
    ------
    UsageError
        The function refers to an object that cannot be pickled. The message is one line.
    """
    import cloudpickle

    try:
        content = cloudpickle.dumps(function)
    except Exception as error:  # The method __reduce__ of a class may raise any exception.
        raise UsageError(
            f"objective {name} cannot be pickled for the workers ({type(error).__name__}:"
            f" {one_line(str(error))}): create the object inside the function, or move the object into a module"
        ) from None
    # The file of a pickled function contains an outer pickle. The outer pickle contains the path `folder` and an inner
    # pickle with the function. When Python loads the inner pickle, Python imports the modules that the function uses.
    # Therefore `read` adds the path `folder` to `sys.path` before `read` loads the inner pickle.
    pickled = {"name": name, "folder": folder, "function": content, "code": code.to_json()}
    file.write_bytes(pickle.dumps(pickled))


@lru_cache(maxsize=1)
def read(name: str) -> PickledFunction:
    """Return the function that `write` has written to a file for this worker.

    Parameters
    ----------
    name : str
        The function's name.

    Raises
    ------
    LedgerError
        This worker has no pickled function with the name `name`, or cannot read the pickled function. The message is
        one line.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        raise LedgerError(
            f"objective {name!r} is defined in a script or notebook, so only the workers that run() starts there can"
            " load the objective: run the script or notebook again, or move the function into a"
            " module; to extend a complete study, first set a larger `trials` or `iterations`"
        )
    try:
        file = Path(path)
        if file.stat().st_uid != os.getuid():
            raise PermissionError(f"{path} belongs to another user")
        content = pickle.loads(file.read_bytes())  # noqa: S301 (written by this user, for this worker)
        if content["name"] == name:
            if content["folder"] is not None:
                search_path.append(content["folder"])
            function: Callable[..., Any] = pickle.loads(content["function"])  # noqa: S301 (as above)
            return PickledFunction(function, ObjectiveCode.from_json(content["code"]))
    except Exception as error:  # Python imports modules when it loads a pickle. An import may raise any exception.
        raise LedgerError(
            f"objective {name!r} cannot be loaded by this worker ({type(error).__name__}: {one_line(str(error))}):"
            " move the function into a module"
        ) from error
    raise LedgerError(
        f"objective {name!r} cannot be loaded by this worker, because run() started the worker for the objective"
        f" {content['name']!r}: move the function into a module"
    )
