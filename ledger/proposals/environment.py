"""The package versions, BLAS libraries and threads that a study's proposals depend on."""

import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

# The imports of numpy and scipy.linalg load the BLAS libraries. The function threadpool_info() finds only loaded
# libraries.
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
        A dict that JSON can represent. The values of the keys `python`, `numpy`, `scipy`, `scikit-learn` and
        `scikit-optimize` are versions. The value of the key `blas` is a sorted list that contains a text for each BLAS
        library.

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
    """Run the `with` block with only one thread in BLAS and in OpenMP, and without warnings.

    The number of threads affects the rounding errors of sums, so the number of threads can also affect the proposals.
    The context manager hides all warnings. An example is the warning that a parameter of the kernel reached a bound. A
    user cannot prevent the causes of the warnings.
    """
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
