"""Search spaces. `from_any` converts a dict, or the dimensions of another package, to a `Space`."""

from ledger.study.conversion import from_any
from ledger.study.space import Space

__all__ = ["Space", "from_any"]
