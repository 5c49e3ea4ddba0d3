"""Attacks on the store of a worker: it is unavailable, forbidden, damaged or emptied while artifacts are saved."""

import random
from collections.abc import Callable
from pathlib import Path

from tests.attack.tally import Tally
from tests.attack.victims import Victims
from tests.chaos.faults import lead_to


class Stores:
    """Changes the store of a worker that takes any study."""

    def __init__(self, victims: Victims, tally: Tally, rng: random.Random) -> None:
        self._tally, self._rng = tally, rng
        self._store = victims.store
        self._folder = victims.store.resolve()
        self._mode = self._folder.stat().st_mode
        self._kinds: dict[str, Callable[[], object]] = {
            "path of a file": lambda: lead_to(self._store, self._folder.parent / "nothing"),
            "path of nothing": lambda: lead_to(self._store, self._folder.parent / "missing" / "folder"),
            "no right to enter": lambda: self._folder.chmod(0),
            "no right to write": lambda: self._folder.chmod(0o555),
            "damaged contents": lambda: self._change(lambda path: path.write_bytes(b"damaged")),
            "removed contents": lambda: self._change(lambda path: path.unlink(missing_ok=True)),
        }
        (self._folder.parent / "nothing").touch()

    def attack(self) -> None:
        """Repair the store, or let it fail in another way."""
        self.repair()
        if self._rng.random() < 0.7:
            kind = self._rng.choice(list(self._kinds))
            self._tally.tried(f"store: {kind}")
            self._kinds[kind]()

    def repair(self) -> None:
        self._folder.chmod(self._mode)
        lead_to(self._store, self._folder)

    def _change(self, change: Callable[[Path], object]) -> None:
        for path in self._folder.rglob("*"):
            # A worker can remove a file at the same time.
            if path.is_file():
                change(path)
