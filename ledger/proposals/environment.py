"""The environment that proposals depend on: versions, BLAS libraries and threads."""

import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy
import sklearn
import skopt
from threadpoolctl import threadpool_info, threadpool_limits


def environment() -> dict[str, Any]:
    """Return the versions that a proposal depends on, and the BLAS libraries with their kernels.

    Returns
    -------
    dict
        As JSON: `python`, `numpy`, `scipy`, `scikit-learn` and `scikit-optimize`, each a version, and `blas`, a sorted
        list of texts.

    Examples
    --------
    >>> sorted(environment())
    ['blas', 'numpy', 'python', 'scikit-learn', 'scikit-optimize', 'scipy']
    """
    blas = {
        f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".rstrip()
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "scikit-optimize": skopt.__version__,
        "blas": sorted(blas),
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, since the number of threads that share a sum changes its rounding; and without warnings.

    The warnings are that a kernel's parameter reached its bound, or that a point was tried before. A user can act on
    neither.
    """
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
