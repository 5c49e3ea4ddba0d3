"""Returns the memory of large arrays to the operating system."""

import ctypes

# Parameters of `mallopt` in the GNU C Library, and their values in bytes. An array with a number for each of a million
# trials has 8 MB. The matrix of a region of a Gaussian process has 5 MB, and is needed again at once.
_M_MMAP_THRESHOLD, _SMALLEST = -3, 7_000_000
_M_TRIM_THRESHOLD, _KEPT = -1, 20_000_000


def return_large_arrays() -> None:
    """Make the C library return each array of at least 7 MB to the operating system when the array is freed.

    Without this call, the GNU C Library keeps the memory of most freed arrays. For a study of a million trials, the
    peak memory of a manager is then 30 MB higher. The setting belongs to the process. Therefore call the function only
    in processes of the program `ledger`. With another C library, the function does nothing.

    References
    ----------
    GNU C Library manual, "Malloc Tunable Parameters".
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _SMALLEST)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
