"""Prevents the import of pandas in commands that manage a study and run for hours."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_pandas() -> Iterator[None]:
    """Make `import pandas` fail inside the `with` block, unless pandas is already imported.

    scikit-learn imports pandas if it is installed, but a manager uses no data frames. The import of pandas costs each
    manager 50 MB of memory and 0.3 s. Only a command may hide pandas, because the process of a command has no other
    thread that could import pandas.
    """
    if "pandas" in sys.modules:
        yield
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["pandas"]
