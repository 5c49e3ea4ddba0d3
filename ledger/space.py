"""Search spaces. `from_any` makes a `Space` from a dict, or from the dimensions of another package."""

from ledger.study.conversion import from_any
from ledger.study.space import Space

__all__ = ["Space", "from_any"]
