"""The modules that belong to the user's code.

Installed packages and the standard library do not belong to the user's code.
"""

import importlib.util
import os
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

# The name of the main program, which is a script, a notebook or an interactive session.
MAIN = "__main__"
_INSTALLED = ("site-packages", "dist-packages")


class OwnModules:
    """The modules that belong to the user's code: the modules of the objective's package, and the modules in the same
    folder as this package.

    A module in the same folder as the objective's package belongs to the user's code. For example, ``helpers.py`` is in
    the same folder as ``objective.py``. If the folder contains installed packages, a module must also be in the same
    distribution as the objective's package. A distribution contains the same modules on every machine, so the class
    selects the same modules on every machine. The ledger's own modules never belong to the user's code.

    Parameters
    ----------
    module : str
        The name of the module that defines the objective.

    Attributes
    ----------
    folder : str or None
        The absolute path of the folder that contains the package. If the folder is unknown, `folder` is None.

    Examples
    --------
    >>> own = OwnModules("json.decoder")
    >>> "json.encoder" in own, "email" in own, "numpy" in own
    (True, False, False)
    """

    def __init__(self, module: str) -> None:
        self._package = module.partition(".")[0]
        self.folder = _folder(self._package)
        self._known: dict[str, bool] = {}

    def __contains__(self, module: object) -> bool:
        package = str(module).partition(".")[0]
        if package not in self._known:
            is_own = package == self._package or self._is_beside(package)
            self._known[package] = is_own and package != "ledger"
        return self._known[package]

    def _is_beside(self, package: str) -> bool:
        if package in sys.stdlib_module_names or package == MAIN or self.folder is None:
            return False
        if Path(self.folder).name in _INSTALLED:
            return package in self._distributed
        return _folder(package) == self.folder

    @cached_property
    def _distributed(self) -> set[str]:
        """The packages of the distribution that contains the objective's package."""
        # The import of `importlib.metadata` is inside the function, because the import needs 3 MB of memory. Most
        # objectives do not belong to an installed distribution, so most processes do not need the import.
        from importlib.metadata import packages_distributions

        found = packages_distributions()
        of_objective = set(found.get(self._package, ()))
        return {package for package, distributions in found.items() if of_objective & set(distributions)}


def resolved(module: str, level: int, variables: Mapping[str, Any]) -> str | None:
    """Return the absolute name of an imported module.

    Parameters
    ----------
    module : str
        The name in the import statement, without leading dots.
    level : int
        The number of leading dots in the import statement.
    variables : mapping
        The global variables of the importing module.
    """
    try:
        return importlib.util.resolve_name("." * level + module, str(variables.get("__package__") or ""))
    except ImportError:
        return None


def file_of(module: str) -> str:
    """Return the path of a module's file, such as ``package/module.py``.

    The path is relative to the folder that contains the package.
    """
    is_package = hasattr(sys.modules.get(module), "__path__")
    return module.replace(".", "/") + ("/__init__.py" if is_package else ".py")


def _folder(package: str) -> str | None:
    """Return the absolute path of the folder that contains a package or a module.

    The function does not import the module.
    """
    if package == MAIN:
        file = getattr(sys.modules[MAIN], "__file__", None)
        return os.path.realpath(os.curdir if file is None else Path(file).parent)
    try:
        module: ModuleType | None = sys.modules.get(package)
        spec = getattr(module, "__spec__", None) or importlib.util.find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return os.path.realpath(Path(next(iter(spec.submodule_search_locations))).parent)
    return os.path.realpath(Path(spec.origin).parent) if spec.has_location and spec.origin else None
