"""Counts of attacks by kind: tried, and refused."""

import threading
from collections import Counter


class Tally:
    """Counts of attacks, which several threads may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tried: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def tried(self, kind: str, count: int = 1) -> None:
        with self._lock:
            self._tried[kind] += count

    def refused(self, kind: str, count: int = 1) -> None:
        with self._lock:
            self._refused[kind] += count

    def rows(self) -> list[tuple[str, int, int]]:
        """Return kind, number tried and number refused, by kind."""
        return [(kind, count, self._refused[kind]) for kind, count in sorted(self._tried.items())]
