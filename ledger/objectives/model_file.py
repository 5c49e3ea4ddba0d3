"""The file of a kept model, in the format of skops.

A file in this format contains names of types and their data, but no code. The loader creates only types that the
estimator of the study needs, so a worker cannot make a reader run other code.
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

# Types outside of the packages of the estimators that fitted estimators contain. They only hold data.
_CONTAINERS = frozenset({"builtins.bytearray", "collections.OrderedDict", "collections.defaultdict", "numpy.dtype"})
# The type of a trained model in XGBoost and LightGBM. These packages also have types that read files.
_BOOSTER = "Booster"
# The package of each built-in model whose estimator is not only of scikit-learn.
_OF_MODELS = {"xgb": "xgboost", "lgbm": "lightgbm"}


def import_skops() -> Any:
    """Import `skops.io`, which imports all of scikit-learn, and so needs some seconds.

    Raises
    ------
    LedgerError
        The package cannot be imported.
    """
    try:
        return importlib.import_module("skops.io")
    except Exception as error:
        raise LedgerError(
            f"the package skops cannot be imported ({type(error).__name__}: {one_line(str(error))}), but a model is"
            " kept in its format; install skops"
        ) from error


def packages_of(form: TrainingSettings) -> frozenset[str]:
    """Return the packages whose types a fitted estimator of an objective can contain.

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
    # An estimator of a user can contain any estimator.
    known = PACKAGES if own_references(form.steps) else ("sklearn",)
    return frozenset({*known, *(reference.partition(":")[0].partition(".")[0] for _, reference in form.steps)})


def dump(estimator: Any) -> bytes:
    """Return the content of the file with a fitted estimator.

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
            f"the format of skops cannot represent the estimator ({type(error).__name__}: {one_line(str(error))})"
        ) from error
    return content


def load(content: bytes, plain: Any, packages: Collection[str]) -> Any:
    """Return the estimator in a file. The function creates no object of an unexpected type.

    Parameters
    ----------
    content : bytes
        The content of the file.
    plain : estimator
        The unfitted estimator of the study with the parameters of the trial. The file may contain all its types and
        functions.
    packages : collection of str
        The packages whose types the file may contain, such as the types of fitted attributes.

    Raises
    ------
    LedgerError
        The file is damaged or foreign. The message is one line.
    """
    skops = import_skops()
    try:
        _check_archive(content)
        found = skops.get_untrusted_types(data=content)
        needed = {*_CONTAINERS, *skops.get_untrusted_types(data=skops.dumps(plain))}
        trusted = [name for name in found if name in needed or _is_type_of(name, packages)]
        if foreign := sorted(set(found) - set(trusted)):
            raise LedgerError(
                f"the file of the model contains {show(foreign[0])}, which the estimator of the study does not need;"
                " if you trust this type, permit its package by allow=[...]"
            )
        with warnings.catch_warnings():
            # scikit-learn warns of another version for each part of the estimator.
            warnings.simplefilter("ignore")
            return skops.loads(content, trusted=trusted)
    except LedgerError:
        raise
    except Exception as error:  # A foreign file can cause any exception in skops and in the estimator.
        raise LedgerError(
            f"the file of the model cannot be read ({type(error).__name__}: {one_line(str(error))}): the file is"
            " damaged or foreign, or the packages of this machine do not fit"
        ) from error


def _check_archive(content: bytes) -> None:
    """Raise a LedgerError if a part of a zip archive is compressed. A small archive could become very large."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise LedgerError("the file of the model is compressed, so the ledger has not written it")


def _is_type_of(name: str, packages: Collection[str]) -> bool:
    """Return whether a name such as "sklearn.tree._tree.Tree" is a class that one of the packages defines."""
    module, _, attribute = name.rpartition(".")
    if not references.is_in(module, packages):
        return False
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception:  # The name comes from the file.
        return False
    if not (isinstance(found, type) and references.is_in(found.__module__, packages)):
        return False
    from sklearn.base import BaseEstimator

    is_boosting = references.is_in(module, ("xgboost", "lightgbm"))
    return not is_boosting or attribute == _BOOSTER or issubclass(found, BaseEstimator)


def versions(packages: Collection[str]) -> dict[str, str]:
    """Return the versions of Python, of NumPy, and of the packages of an estimator that have a version.

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
