"""Prevents the import of pandas in managers, and in the trainers of built-in models."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any


class _PandasBlocker(MetaPathFinder):
    """An import finder that prevents the import of pandas."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:  # noqa: ARG002
        if fullname == "pandas":
            raise ModuleNotFoundError("ledger.without_pandas prevents the import of pandas", name=fullname)


@contextmanager
def without_pandas() -> Iterator[None]:
    """Make `import pandas` fail inside the `with` block. If pandas is already imported, the import succeeds.

    scikit-learn imports pandas if pandas is installed, but managers and built-in models use no data frames. The import
    of pandas costs each process 50 MB of memory and 0.3 s. Call `without_pandas` only in processes of the program
    `ledger`. In another program, a second thread could import pandas during the `with` block. The import in the second
    thread would fail.
    """
    blocker = _PandasBlocker()
    sys.meta_path.insert(0, blocker)
    try:
        yield
    finally:
        sys.meta_path.remove(blocker)
