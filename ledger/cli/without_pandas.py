"""Imports without pandas, for the commands whose process manages a study for hours."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_pandas() -> Iterator[None]:
    """Inside the `with` block, make `import pandas` fail, unless pandas is already imported.

    scikit-learn imports pandas where it is installed, for data frames that a manager does not have. That costs each
    manager 50 MB and 0.3 s. Only a command may hide it: its process has no other thread whose import would fail.
    """
    if "pandas" in sys.modules:
        yield
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["pandas"]
