"""What a worker does with a dataset: it fetches it once, and holds one trial meanwhile."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from ledger.database import protocol
from ledger.database.protocol import Claimed
from ledger.errors import LedgerError
from ledger.worker.data import PIECE, Data
from ledger.worker.hand import Hand


class Ledger:
    """Has datasets by their SHA-256, and counts what is asked of it."""

    def __init__(self, **contents: bytes) -> None:
        self._contents, self.asked = contents, 0

    def call(self, _function: Any, sha256: str, first: int, size: int) -> bytes | None:
        self.asked += 1
        content = self._contents.get(sha256)
        return None if content is None else content[first : first + size]


def named(sha256: str) -> dict[str, str]:
    return {"name": "a\nb.csv", "sha256": sha256}


def content(data: Data) -> bytes:
    return Path(f"/dev/fd/{data.fileno()}").read_bytes()


def go_on() -> bool:
    return True


@pytest.mark.parametrize(("size", "asked"), [(1, 1), (PIECE - 1, 1), (PIECE, 2), (2 * PIECE + 1, 3)])
def test_a_dataset_is_fetched_in_pieces_and_once(size, asked):
    whole = bytes(range(256)) * (size // 256 + 1)
    ledger, data = Ledger(one=whole[:size]), Data()
    for _ in range(2):
        assert data.fetch(named("one"), ledger.call, go_on)
        assert content(data) == whole[:size]
    assert ledger.asked == asked
    data.close()


def test_another_one_takes_its_place_in_the_same_file():
    ledger, data = Ledger(one=b"x" * 100, two=b"yy"), Data()
    assert data.fetch(named("one"), ledger.call, go_on)
    descriptor = data.fileno()
    assert data.fetch(named("two"), ledger.call, go_on)
    assert (data.fileno(), content(data)) == (descriptor, b"yy")
    data.close()


def test_one_that_was_fetched_in_part_is_fetched_again():
    ledger, data = Ledger(one=b"x" * 2 * PIECE), Data()
    assert not data.fetch(named("one"), ledger.call, lambda: False)
    assert data.fetch(named("one"), ledger.call, go_on)
    assert content(data) == b"x" * 2 * PIECE
    data.close()


def test_one_that_is_not_there_is_named_in_one_line():
    data = Data()
    with pytest.raises(LedgerError, match=r"^dataset a b.csv \(SHA-256 two\) is not in this ledger") as caught:
        data.fetch(named("two"), Ledger().call, go_on)
    assert "\n" not in str(caught.value)
    data.close()


def test_of_what_is_in_hand_one_is_held_while_a_dataset_is_fetched_and_the_others_go_back():
    held = [Claimed(uuid.uuid4(), 1, "s", trial, 1, {}, {}, 7, 30.0, 0.0, None) for trial in range(3)]
    calls: list[tuple[Any, list[int]]] = []

    def call(function: Any, *those: Claimed) -> Any:
        calls.append((function, [each.trial for each in those]))
        return True if function is protocol.heartbeat else [each.claim for each in those]

    hand = Hand(held, "w")
    assert len(hand.begin()) == 3
    hand.keep_one()
    assert hand.tend(call)
    assert calls == [(protocol.release, [1, 2]), (protocol.heartbeat, [0])]
    assert [each.trial for each in hand.begin()] == [0]
    assert hand.attempts == 0
