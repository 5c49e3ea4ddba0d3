"""The folders in which a trainer searches for the modules of an objective.

A trainer does not search in the current folder, because another user may have put a file into this folder. A file of
another user could have the name of a module that the trainer imports, such as sklearn. There is one exception: if no
other folder contains the allowed package of the objective, the trainer also searches in the current folder. The trainer
searches in the current folder last.
"""

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder


def current_folder() -> str | None:
    """Return the absolute path of the current folder, or None if the folder no longer exists."""
    try:
        return os.getcwd()  # noqa: PTH109 (sys.path holds strings)
    except FileNotFoundError:
        return None


def append(folder: str) -> None:
    """Make Python search for modules in `folder` after all other folders."""
    if folder not in sys.path:
        sys.path.append(folder)


def append_for(package: str, folder: str) -> None:
    """If no other folder contains `package`, make Python search in `folder` after all other folders.

    Parameters
    ----------
    package : str
        Name of a top-level package or module. The name contains no dot.
    folder : str
        Absolute path of a folder.
    """
    if package not in sys.modules and not _is_found(package) and contains(folder, package):
        append(folder)


def contains(folder: str, package: str) -> bool:
    """Return whether `folder` contains the package or module `package`."""
    return PathFinder.find_spec(package, [folder]) is not None


def without_current(path: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the absolute paths of the folders in `path`, except the current folder.

    If the function has omitted the current folder, the second return value is the path of the current folder. If the
    function has not omitted the current folder, the second return value is None.

    If the environment variable `PYTHONPATH` names the current folder, the function does not omit the current folder.

    Examples
    --------
    >>> without_current(["/opt/python/lib"])
    (['/opt/python/lib'], None)
    """
    # The function does not resolve symbolic links in the paths. A module may use the path of its own file, and a
    # resolved link would change this path.
    folders = list(dict.fromkeys(os.path.abspath(folder) for folder in path))  # noqa: PTH100
    current = os.path.realpath(os.curdir)
    named = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if current in map(os.path.realpath, named):
        return folders, None
    others = [folder for folder in folders if os.path.realpath(folder) != current]
    return others, current if others != folders else None


def _is_found(package: str) -> bool:
    # Python treats any folder with the name of the package as a package, even if the folder contains no `__init__.py`.
    # The module spec of a package without `__init__.py` has no `origin`.
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None
