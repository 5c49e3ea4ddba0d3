"""The file of a kept model, in the format of skops.

A file in the format of skops contains the names of types and the data of objects, but no code. The loader creates only
objects of types that the study's estimator needs. Therefore, if a program loads a file that a worker has written, the
file cannot make the program run other code.
"""

import importlib
import io
import platform
import sys
import warnings
import zipfile
from collections.abc import Collection, Mapping
from typing import Any

from ledger.errors import LedgerError
from ledger.objectives import references
from ledger.objectives.estimators import PACKAGES, own_references
from ledger.objectives.form import TrainingSettings
from ledger.text import one_line, show

# Types that fitted estimators contain, but that do not belong to the estimators' packages. An object of a type in
# `_CONTAINERS` contains only data.
_CONTAINERS = frozenset({"builtins.bytearray", "collections.OrderedDict", "collections.defaultdict", "numpy.dtype"})
# The class of a trained model in XGBoost and in LightGBM. XGBoost and LightGBM also contain classes that read files.
# The loader does not permit classes that read files.
_BOOSTER = "Booster"
# The name of the package that a built-in model needs in addition to scikit-learn.
_OF_MODELS = {"xgb": "xgboost", "lgbm": "lightgbm"}


class ForeignTypeError(LedgerError):
    """An exception that reports a type in the file of a model which the study's estimator does not need.

    Attributes
    ----------
    name : str
        The name of the type or of the function.
    """

    def __init__(self, name: str, way_out: str) -> None:
        super().__init__(
            f"the file of the model contains {show(name)}, which the estimator of the study does not need; {way_out}"
        )
        self.name = name


def import_skops() -> Any:
    """Import `skops.io`. The import takes some seconds, because `skops.io` imports all of scikit-learn.

    Raises
    ------
    LedgerError
        The package cannot be imported.
    """
    try:
        return importlib.import_module("skops.io")
    except Exception as error:
        raise LedgerError(
            f"the package skops cannot be imported ({type(error).__name__}: {one_line(str(error))}), but a kept"
            " model has the format of skops; install skops"
        ) from error


def packages_of(form: TrainingSettings) -> frozenset[str]:
    """Return the names of the packages that define the types inside a fitted estimator of an objective.

    Examples
    --------
    >>> from ledger.objectives.form import read_form
    >>> sorted(packages_of(read_form({"model": "xgb"})))
    ['sklearn', 'xgboost']
    >>> sorted(packages_of(read_form({"estimator": "own.models:Forest"})))
    ['lightgbm', 'own', 'sklearn', 'xgboost']
    """
    if form.model is not None:
        return frozenset({"sklearn", _OF_MODELS.get(form.model, "sklearn")})
    # A user's own estimator can contain other estimators of any package in `PACKAGES`.
    known = PACKAGES if own_references(form.steps) else ("sklearn",)
    return frozenset({*known, *(reference.partition(":")[0].partition(".")[0] for _, reference in form.steps)})


def dump(estimator: Any) -> bytes:
    """Convert a fitted estimator to the content of a file.

    Raises
    ------
    LedgerError
        The format cannot represent the estimator. The message is one line.
    """
    skops = import_skops()
    try:
        content: bytes = skops.dumps(estimator)
    except Exception as error:  # The estimator of a user may contain any object.
        raise LedgerError(
            f"the format of skops cannot represent the estimator ({type(error).__name__}: {one_line(str(error))});"
            " train the best model by `StudyResult.refit`"
        ) from error
    return content


def load(content: bytes, plain: Any, packages: Collection[str]) -> Any:
    """Load the estimator from the content of a file. The function creates no object of an unexpected type.

    Parameters
    ----------
    content : bytes
        The content of the file.
    plain : estimator
        The unfitted estimator of the study with the parameters of the trial. The file may contain each type and each
        function that this unfitted estimator contains.
    packages : collection of str
        The names of packages. The file may contain types of these packages, such as the types of fitted attributes.

    Raises
    ------
    LedgerError
        The file is damaged, contains a type that is not permitted, or cannot be read with the packages of this machine.
        The message is one line.
    """
    skops = import_skops()
    try:
        _check_archive(content)
        found = skops.get_untrusted_types(data=content)
        needed = {*_CONTAINERS, *skops.get_untrusted_types(data=skops.dumps(plain))}
        trusted = [name for name in found if name in needed or _is_type_of(name, packages)]
        if foreign := sorted(set(found) - set(trusted)):
            raise ForeignTypeError(foreign[0], _way_out(foreign[0], packages))
        with warnings.catch_warnings():
            # If the file was written with another version of scikit-learn, scikit-learn would warn once for each part
            # of the estimator.
            warnings.simplefilter("ignore")
            loaded = skops.loads(content, trusted=trusted)
        if type(loaded) is not type(plain):
            expected, given = type(plain).__name__, one_line(type(loaded).__name__)
            raise LedgerError(f"the file of the model contains a {given}, but the study trains a {expected}")
        return loaded
    except LedgerError:
        raise
    except Exception as error:  # A foreign file can cause any exception in skops and in the estimator.
        raise LedgerError(
            f"the file of the model cannot be read ({type(error).__name__}: {one_line(str(error))}): the file is"
            " damaged or foreign, or another version of a package wrote the file"
        ) from error


def _check_archive(content: bytes) -> None:
    """Raise a LedgerError if a part of a zip archive is compressed. A small compressed archive could need much memory
    after the decompression.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise LedgerError("the file of the model is compressed, so the ledger has not written it")


def _is_unloaded(module: str) -> bool:
    """Return whether a module of a user is not imported yet.

    The name of the module comes from the file. The import of a module can run code, such as the code of a script.
    """
    return module not in sys.modules and not references.is_in(module, PACKAGES)


def _way_out(name: str, packages: Collection[str]) -> str:
    module = name.rpartition(".")[0]
    if not references.is_in(module, packages):
        return "if you trust this type, permit its package by allow=[...]"
    if _is_unloaded(module):
        return f"if you trust this type, import the module {one_line(module)} first"
    return "train the model again by `StudyResult.refit`"


def _is_type_of(name: str, packages: Collection[str]) -> bool:
    """Return whether `name`, such as "sklearn.tree._tree.Tree", is the name of a class in one of the packages."""
    module, _, attribute = name.rpartition(".")
    if not references.is_in(module, packages) or _is_unloaded(module):
        return False
    try:
        # A call of `getattr` could run the function `__getattr__` of a user's module, which can import other modules.
        found = vars(importlib.import_module(module)).get(attribute)
    except Exception:  # The name comes from the file.
        return False
    if not (isinstance(found, type) and references.is_in(found.__module__, packages)):
        return False
    from sklearn.base import BaseEstimator

    is_boosting = references.is_in(module, ("xgboost", "lightgbm"))
    return not is_boosting or attribute == _BOOSTER or issubclass(found, BaseEstimator)


def versions(packages: Collection[str]) -> dict[str, str]:
    """Return the versions of Python, NumPy, skops and the packages of an estimator. The function omits a package
    without a version.

    Examples
    --------
    >>> import numpy, skops, sklearn
    >>> sorted(versions({"sklearn"}))
    ['numpy', 'python', 'sklearn', 'skops']
    """
    found = {"python": platform.python_version()}
    for package in sorted({"numpy", "skops", *packages}):
        version = getattr(sys.modules.get(package), "__version__", None)
        if isinstance(version, str):
            found[package] = one_line(version, 80)
    return found


def other_versions(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Return a text for each package whose version differs from the recorded version.

    Examples
    --------
    >>> other_versions({"numpy": "2.4.0", "sklearn": "1.9.1"}, {"numpy": "2.4.6", "sklearn": "1.9.1"})
    ['numpy 2.4.6 instead of 2.4.0']
    """
    return [
        f"{package} {one_line(here[package], 80)} instead of {one_line(version, 80)}"
        for package, version in recorded.items()
        if package in here and here[package] != version
    ]
