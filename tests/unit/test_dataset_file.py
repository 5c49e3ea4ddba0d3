"""A worker fetches a dataset once, and keeps the claim of one trial while it does."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from ledger.database import protocol
from ledger.database.protocol import ClaimedTrial
from ledger.errors import LedgerError
from ledger.worker.claimed_trials import ClaimedTrials
from ledger.worker.dataset_file import PIECE, DatasetFile


class Ledger:
    """Datasets by their SHA-256; counts the pieces that were asked for."""

    def __init__(self, **contents: bytes) -> None:
        self._contents, self.calls = contents, 0

    def call(self, _function: Any, sha256: str, first: int, size: int) -> bytes | None:
        self.calls += 1
        content = self._contents.get(sha256)
        return None if content is None else content[first : first + size]


def named(sha256: str) -> dict[str, str]:
    return {"name": "a\nb.csv", "sha256": sha256}


def content(dataset: DatasetFile) -> bytes:
    return Path(f"/dev/fd/{dataset.fileno()}").read_bytes()


def always() -> bool:
    return True


@pytest.mark.parametrize(("size", "calls"), [(1, 1), (PIECE - 1, 1), (PIECE, 2), (2 * PIECE + 1, 3)])
def test_a_dataset_is_fetched_in_pieces_and_once(size, calls):
    whole = bytes(range(256)) * (size // 256 + 1)
    ledger, dataset = Ledger(first=whole[:size]), DatasetFile()
    for _ in range(2):
        assert dataset.fetch(named("first"), ledger.call, always)
        assert content(dataset) == whole[:size]
    assert ledger.calls == calls
    dataset.close()


def test_the_next_dataset_replaces_the_content_of_the_same_file():
    ledger, dataset = Ledger(first=b"x" * 100, second=b"yy"), DatasetFile()
    assert dataset.fetch(named("first"), ledger.call, always)
    descriptor = dataset.fileno()
    assert dataset.fetch(named("second"), ledger.call, always)
    assert (dataset.fileno(), content(dataset)) == (descriptor, b"yy")
    dataset.close()


def test_an_interrupted_fetch_starts_again():
    ledger, dataset = Ledger(first=b"x" * 2 * PIECE), DatasetFile()
    assert not dataset.fetch(named("first"), ledger.call, lambda: False)
    assert dataset.fetch(named("first"), ledger.call, always)
    assert content(dataset) == b"x" * 2 * PIECE
    dataset.close()


def test_a_missing_dataset_is_reported_in_one_line():
    dataset = DatasetFile()
    with pytest.raises(LedgerError, match=r"^dataset a b.csv \(SHA-256 second\) of the study is miss") as caught:
        dataset.fetch(named("second"), Ledger().call, always)
    assert "\n" not in str(caught.value)
    dataset.close()


def test_during_a_fetch_one_claim_is_renewed_and_the_others_are_released():
    claimed = [ClaimedTrial(uuid.uuid4(), 1, "s", trial, 1, {}, {}, 7, 30.0, 0.0, None) for trial in range(3)]
    calls: list[tuple[Any, list[int]]] = []

    def call(function: Any, *trials: ClaimedTrial) -> Any:
        calls.append((function, [trial.trial for trial in trials]))
        return True if function is protocol.heartbeat else [trial.claim for trial in trials]

    trials = ClaimedTrials(claimed, "w")
    assert len(trials.start()) == 3
    trials.keep_first()
    assert trials.maintain(call)
    assert calls == [(protocol.release, [1, 2]), (protocol.heartbeat, [0])]
    assert [trial.trial for trial in trials.start()] == [0]
    assert trials.attempts == 0
