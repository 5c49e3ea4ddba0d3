"""A worker fetches a dataset once, and keeps the claim of one trial while it does."""

import errno
import os
import sys
import uuid
from typing import Any

import pytest

from ledger.database import protocol
from ledger.database.protocol import ClaimedTrial
from ledger.errors import LedgerError
from ledger.objectives.form import FileReference
from ledger.worker.claimed_trials import ClaimedTrials
from ledger.worker.dataset_file import PIECE, DatasetFile
from ledger.worker.refusals import ObjectiveLoadError


class Ledger:
    """Datasets by their SHA-256; counts the pieces that were asked for."""

    def __init__(self, **contents: bytes) -> None:
        self._contents, self.calls = contents, 0

    def call(self, _function: Any, sha256: str, first: int, size: int) -> bytes | None:
        self.calls += 1
        content = self._contents.get(sha256)
        return None if content is None else content[first : first + size]


def named(sha256: str) -> FileReference:
    return FileReference("a\nb.csv", sha256, "csv")


def content(dataset: DatasetFile) -> bytes:
    descriptor = dataset.open()
    try:
        return os.pread(descriptor, 10 * PIECE, 0)
    finally:
        os.close(descriptor)


@pytest.fixture(params=["memory", "temporary"])
def dataset(request, monkeypatch):
    if request.param == "memory" and sys.platform != "linux":
        pytest.skip("memory files are a feature of Linux")
    if request.param == "temporary" and sys.platform == "linux":

        def refuse(*_: object) -> int:
            raise OSError(errno.ENOSYS, "no memory files")

        monkeypatch.setattr(os, "memfd_create", refuse)
    dataset = DatasetFile()
    yield dataset
    dataset.close()


def always() -> bool:
    return True


@pytest.mark.parametrize(("size", "calls"), [(1, 1), (PIECE - 1, 1), (PIECE, 2), (2 * PIECE + 1, 3)])
def test_a_dataset_is_fetched_in_pieces_and_once(dataset, size, calls):
    whole = bytes(range(256)) * (size // 256 + 1)
    ledger = Ledger(first=whole[:size])
    for _ in range(2):
        assert dataset.fetch(named("first"), ledger.call, always)
        assert content(dataset) == whole[:size]
    assert ledger.calls == calls


def test_a_descriptor_of_a_dataset_can_only_read_this_dataset(dataset):
    ledger = Ledger(first=b"x" * 100, second=b"yy")
    assert dataset.fetch(named("first"), ledger.call, always)
    descriptor = dataset.open()
    for change in (lambda: os.write(descriptor, b"z"), lambda: os.ftruncate(descriptor, 0)):
        with pytest.raises(OSError, match="Bad file descriptor|Invalid argument"):
            change()
    assert dataset.fetch(named("second"), ledger.call, always)
    assert content(dataset) == b"yy"
    assert os.pread(descriptor, 200, 0) == b"x" * 100
    os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="memory files are a feature of Linux")
def test_no_process_can_change_a_fetched_dataset_in_memory():
    dataset = DatasetFile()
    assert dataset.fetch(named("first"), Ledger(first=b"x" * 100).call, always)
    descriptor, other = dataset.open(), dataset.open()
    assert os.read(descriptor, 100) == os.read(other, 100) == b"x" * 100
    again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
    for change in (lambda: os.write(again, b"z"), lambda: os.ftruncate(again, 0), lambda: os.ftruncate(again, 200)):
        with pytest.raises(PermissionError):
            change()
    for each in (descriptor, other, again):
        os.close(each)
    dataset.close()


def test_a_closed_dataset_is_fetched_again(dataset):
    ledger = Ledger(first=b"x" * 100)
    for calls in (1, 2):
        assert dataset.fetch(named("first"), ledger.call, always)
        assert ledger.calls == calls
        dataset.close()


def test_an_interrupted_fetch_starts_again(dataset):
    ledger = Ledger(first=b"x" * 2 * PIECE)
    assert not dataset.fetch(named("first"), ledger.call, lambda: False)
    assert dataset.fetch(named("first"), ledger.call, always)
    assert content(dataset) == b"x" * 2 * PIECE


def test_a_missing_dataset_is_reported_in_one_line(dataset):
    with pytest.raises(LedgerError, match=r"^dataset a b.csv \(SHA-256 second\) of the study is miss") as caught:
        dataset.fetch(named("second"), Ledger().call, always)
    assert "\n" not in str(caught.value)


def test_a_dataset_that_this_machine_cannot_store_is_a_refusal(dataset, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "memfd_create", full, raising=False)
    monkeypatch.setattr("tempfile.mkstemp", full)
    with pytest.raises(ObjectiveLoadError, match="cannot be stored on this machine"):
        dataset.fetch(named("first"), Ledger(first=b"x").call, always)


def test_during_a_fetch_one_claim_is_renewed_and_the_others_are_released():
    claimed = [ClaimedTrial(uuid.uuid4(), 1, "s", trial, 1, {}, {}, 7, 30.0, 0.0, None, None) for trial in range(3)]
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
