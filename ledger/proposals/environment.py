"""The package versions, BLAS libraries and threads that a study's proposals depend on."""

import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

# The imports of numpy and scipy.linalg load the BLAS libraries, so that threadpool_info() can find these libraries.
import numpy  # noqa: F401
import scipy.linalg  # noqa: F401
from threadpoolctl import threadpool_info, threadpool_limits

# Packages whose versions can change the proposals.
PACKAGES = ("numpy", "scipy", "scikit-learn", "scikit-optimize")


def environment() -> dict[str, Any]:
    """Return the package versions and the BLAS libraries that a proposal depends on.

    Returns
    -------
    dict
        A dict that JSON can represent. The keys `python`, `numpy`, `scipy`, `scikit-learn` and `scikit-optimize` have
        versions as values. The value of `blas` is a sorted list with a text for each BLAS library.

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
        **{package: version(package) for package in PACKAGES},
        "blas": sorted(blas),
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the `with` block on one thread of BLAS and OpenMP, without warnings.

    The number of threads changes the rounding of sums, and therefore also the proposals. The context manager hides the
    warnings that a kernel's parameter reached a bound, or that a point was tried before. A user cannot prevent the
    causes of the hidden warnings.
    """
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
