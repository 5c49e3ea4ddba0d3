"""The memory of large arrays that a process has freed."""

import platform
import subprocess
import sys

import pytest

# A small array above the large arrays keeps the C library from making the heap smaller.
PROGRAM = """
import sys
from pathlib import Path

import numpy as np

from ledger.large_arrays import return_large_arrays

if sys.argv[1] == "returned":
    return_large_arrays()
np.ones(2_000_000)
arrays = [np.ones(1_000_000) for _ in range(20)]
small = [np.ones(1_000) for _ in range(20)]
before = int(Path("/proc/self/statm").read_text().split()[1])
del arrays
print((before - int(Path("/proc/self/statm").read_text().split()[1])) * 4096)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C Library has these settings")
def test_a_freed_array_of_a_million_numbers_returns_its_memory():
    kept, returned = (
        int(subprocess.check_output([sys.executable, "-c", PROGRAM, how], text=True)) for how in ("kept", "returned")
    )
    assert returned > 150_000_000 > kept
