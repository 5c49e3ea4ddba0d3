"""Checkpoints on their way between an objective and the supervisor: kept, restored, damaged, and refused."""

import base64
import hashlib
import io
import json
import logging
import os
import queue
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ledger
from ledger.database import artifact_protocol
from ledger.database.artifact_protocol import LastCheckpoint
from ledger.database.bounds import ARTIFACT_PIECE, LARGEST_STEP
from ledger.database.session import DatabaseUnavailable, ValuesRefused
from ledger.errors import LedgerError
from ledger.objectives import artifact_saving, checkpoint_archive
from ledger.objectives.artifact_saving import PIECE
from ledger.objectives.reporting import INSIDE, receive_reports
from ledger.objectives.value_scale import ValueScale
from ledger.store import Content, StoreError, opened
from ledger.store.folder import FolderStore
from ledger.worker import artifact_messages, artifact_saver
from ledger.worker.artifact_messages import (
    ArtifactPiece,
    ArtifactSender,
    CheckpointAnnouncement,
    PieceRequest,
    RestoreRequest,
)
from ledger.worker.artifact_saver import ArtifactSaver
from ledger.worker.outcome import MalformedAnswerError, parse_answer
from tests.unit.test_artifact_saver import CONTEXT, DATA, HELD, finish


class Database:
    """A database with checkpoints that the ledger itself or a store keeps, the last one first."""

    def __init__(self, *checkpoints: tuple[int, bytes, str | None]) -> None:
        self.contents = {uuid.uuid4(): (step, data, store) for step, data, store in checkpoints}
        self.calls: list[str] = []
        self.failures: list[Exception] = []
        self.damaged: list[uuid.UUID] = []

    def call(self, statement: Callable[..., Any], *args: Any) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append(statement.__name__)
        if statement is artifact_protocol.last_checkpoints:
            return [
                LastCheckpoint(1, step, content, hashlib.sha256(data).hexdigest(), len(data), store, 5, 0.5)
                for content, (step, data, store) in self.contents.items()
            ]
        if statement is artifact_protocol.checkpoint_piece:
            content, number = args[1:]
            data = b"damaged" if content in self.damaged else self.contents[content][1]
            return data[number * ARTIFACT_PIECE : (number + 1) * ARTIFACT_PIECE] or None
        return ("wanted", uuid.uuid4()) if statement is artifact_protocol.begin else "saved"


@pytest.fixture
def replies() -> list[dict[str, Any]]:
    return []


def restore(
    saver: ArtifactSaver, database: Database, replies: list[dict[str, Any]], unusable: str | None = None
) -> Any:
    """Return the step and the bytes of the checkpoint that the supervisor sends, or its error."""
    request = len(replies)
    saver.accept(HELD, RestoreRequest(request, unusable))
    saver.advance(database.call)
    finish(saver, database)  # type: ignore[arg-type]
    found = replies[-1]
    if found["error"] is not None:
        return found["error"]
    data = b""
    while len(data) < found["size"]:
        saver.accept(HELD, PieceRequest(request))
        data += base64.b64decode(replies[-1]["piece"])
    return found["step"], data


@pytest.mark.parametrize("data", [b"x", bytes(PIECE), DATA], ids=["one byte", "one piece", "several pieces"])
def test_the_trainer_receives_the_last_checkpoint_of_the_ledger(replies, data, caplog):
    caplog.set_level(logging.INFO)
    database = Database((7, data, None), (6, b"before", None))
    assert restore(ArtifactSaver(None, replies.append), database, replies) == (7, data)
    assert database.calls == ["last_checkpoints", *["checkpoint_piece"] * -(-len(data) // ARTIFACT_PIECE)]
    assert "s trial 0: the training continues after step 7 of attempt 1" in caplog.text


def test_the_trainer_receives_the_last_checkpoint_of_a_store(replies, tmp_path):
    store = opened((tmp_path / "artifacts").as_uri())
    database = Database((7, DATA, store.url))
    (content,) = database.contents
    store.put(Content(hashlib.sha256(DATA).hexdigest(), len(DATA), content), io.BytesIO(DATA))
    assert restore(ArtifactSaver(store.url, replies.append), database, replies) == (7, DATA)


def test_with_a_rule_the_trainer_receives_the_report_of_the_checkpoint(replies):
    database = Database((7, b"x", None))
    verdicts = {2: False, 5: None}, {2: False, 5: True}, {2: None, 5: False}, {2: False, 6: None}, {6: None}
    rungs = [[{"step": step, "stops": stops, "last_step": step} for step, stops in each.items()] for each in verdicts]
    with_rule = [replace(HELD, stopping={"rule": "halving", "rungs": each}) for each in rungs]
    expected = [None, (5, 0.5), (5, 0.5), None, None, None]
    for held, reported in zip([HELD, *with_rule], expected, strict=True):
        saver = ArtifactSaver(None, replies.append)
        saver.accept(held, RestoreRequest(1, None))
        finish(saver, database)  # type: ignore[arg-type]
        assert replies[-1]["reported"] == reported
        # The saver closes its file after the last piece.
        saver.accept(held, PieceRequest(1))


@pytest.mark.parametrize(("last_step", "reported"), [(2, None), (1, (5, 0.5))])
def test_an_objective_that_trained_on_after_a_stop_does_not_report_again(replies, last_step, reported):
    """With the last step 1 below the rung 2, the report of step 5 can have been the first one at or above the rung."""
    rungs = [{"step": 2, "stops": True, "last_step": last_step}, {"step": 5, "stops": True, "last_step": 5}]
    saver = ArtifactSaver(None, replies.append)
    saver.accept(replace(HELD, stopping={"rule": "halving", "rungs": rungs}), RestoreRequest(1, None))
    finish(saver, Database((7, b"x", None)))  # type: ignore[arg-type]
    assert replies[-1]["reported"] == reported
    # The saver closes its file after the last piece.
    saver.accept(HELD, PieceRequest(1))


def test_a_trial_without_checkpoints_starts_from_its_beginning(replies, caplog):
    caplog.set_level(logging.INFO)
    assert restore(ArtifactSaver(None, replies.append), Database(), replies) == (None, b"")
    assert caplog.text == ""


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(replies, caplog):
    database = Database((7, b"last", None), (6, b"before", None))
    database.damaged = [*database.contents][:1]
    assert restore(ArtifactSaver(None, replies.append), database, replies) == (6, b"before")
    assert "s trial 0: the checkpoint of step 7 of attempt 1 cannot be used: the content is damaged" in caplog.text


def test_a_missing_checkpoint_is_replaced_by_the_one_before(replies, tmp_path, caplog):
    store = opened((tmp_path / "artifacts").as_uri())
    store.put(Content(hashlib.sha256(b"x").hexdigest(), 1, uuid.uuid4()), io.BytesIO(b"x"))
    database = Database((7, b"last", store.url), (6, b"before", None))
    assert restore(ArtifactSaver(store.url, replies.append), database, replies) == (6, b"before")
    assert "has no file" in caplog.text


@pytest.mark.parametrize(("failures", "step"), [(2, 7), (3, 6)])
def test_a_store_that_fails_for_a_moment_is_read_again(replies, tmp_path, caplog, monkeypatch, failures, step):
    monkeypatch.setattr(artifact_saver, "STORE_PAUSES", (0.0, 0.01))
    store = opened((tmp_path / "artifacts").as_uri())
    database = Database((7, b"last", store.url), (6, b"before", None))
    (content, _) = database.contents
    store.put(Content(hashlib.sha256(b"last").hexdigest(), 4, content), io.BytesIO(b"last"))
    read = FolderStore.pieces
    left = [None] * failures

    def pieces(self: FolderStore, content: Content) -> Iterator[bytes]:
        if left:
            left.pop()
            raise StoreError("the store is away")
        return read(self, content)

    monkeypatch.setattr(FolderStore, "pieces", pieces)
    assert restore(ArtifactSaver(store.url, replies.append), database, replies)[0] == step
    assert "reads the checkpoint again after 0.01 s, because the store is away" in caplog.text


def test_no_store_of_the_database_is_opened(replies, tmp_path, caplog):
    database = Database((7, b"last", (tmp_path / "elsewhere").as_uri()))
    assert restore(ArtifactSaver(None, replies.append), database, replies) == (None, b"")
    assert "elsewhere: name this store by --store" in caplog.text
    assert "no checkpoint can be used, so the training starts from its beginning" in caplog.text


def test_a_checkpoint_that_the_trainer_cannot_unpack_is_left_out(replies, caplog):
    database = Database((7, b"last", None), (6, b"before", None))
    saver = ArtifactSaver(None, replies.append)
    assert restore(saver, database, replies) == (7, b"last")
    assert restore(saver, database, replies, "no archive") == (6, b"before")
    assert "the checkpoint of step 7 of attempt 1 cannot be used: no archive" in caplog.text
    assert restore(saver, database, replies, "no archive either") == (None, b"")
    assert restore(saver, database, replies) == (None, b"")


def test_an_outage_delays_a_restore(replies):
    database = Database((7, DATA, None))
    saver = ArtifactSaver(None, replies.append)
    saver.accept(HELD, RestoreRequest(0, None))
    for _ in range(2):
        database.failures = [DatabaseUnavailable(0.0)]
        saver.advance(database.call)
        assert replies == []
        saver.due_at = 0.0
        saver.advance(database.call)
    finish(saver, database)  # type: ignore[arg-type]
    assert replies == [{"request": 0, "error": None, "step": 7, "size": len(DATA), "reported": None}]
    saver.abandon()


def test_a_worker_without_room_cannot_restore(replies, monkeypatch):
    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    said = restore(ArtifactSaver(None, replies.append), Database((7, b"x", None)), replies)
    assert said.startswith("the worker cannot receive the checkpoint (No space left on device): free space")


def test_a_piece_that_was_not_offered_gets_no_reply(replies):
    saver = ArtifactSaver(None, replies.append)
    saver.accept(HELD, PieceRequest(0))
    database = Database((7, b"x", None))
    assert restore(saver, database, replies) == (7, b"x")
    saver.accept(HELD, PieceRequest(0))
    saver.accept(HELD, CheckpointAnnouncement(5, 1, 3))
    saver.accept(HELD, PieceRequest(5))
    assert [reply["request"] for reply in replies] == [0, 0, 5]
    saver.abandon()


def test_the_ledger_has_the_reports_before_the_checkpoint(replies):
    database = Database()
    saver = ArtifactSaver(None, replies.append)
    saver.accept(HELD, CheckpointAnnouncement(0, 7, 1))
    saver.accept(HELD, ArtifactPiece(0, b"x"))
    waiting = ["report"]

    def write_reports(call: Callable[..., Any]) -> None:
        assert call == database.call
        if database.failures:
            raise database.failures.pop(0)
        database.calls += waiting
        waiting.clear()

    database.failures = [DatabaseUnavailable(0.0)]
    saver.advance(database.call, write_reports)
    assert database.calls == []
    while saver.due_at < float("inf"):
        saver.due_at = 0.0
        saver.advance(database.call, write_reports)
    assert database.calls == ["report", "begin", "add_piece", "save"]
    assert (saver.take_kept(), saver.take_kept()) == (True, False)


def test_an_artifact_is_no_kept_checkpoint(replies):
    saver = ArtifactSaver(None, replies.append)
    saver.accept(HELD, artifact_messages.ArtifactAnnouncement(0, "a", 0))
    finish(saver, Database())  # type: ignore[arg-type]
    assert replies == [{"request": 0, "error": None}] * 2
    assert not saver.take_kept()


def test_a_checkpoint_that_is_too_large_or_refused_names_itself(replies):
    saver = ArtifactSaver(None, replies.append)
    saver.accept(HELD, CheckpointAnnouncement(0, 7, 2**26 + 1))
    assert replies[-1]["error"].startswith("the checkpoint of step 7 has 67,108,865 bytes, but the ledger itself keeps")
    database = Database()
    database.failures = [ValuesRefused("too old")]
    saver.accept(HELD, CheckpointAnnouncement(1, 7, 0))
    finish(saver, database)  # type: ignore[arg-type]
    assert replies[-1]["error"] == "the database refused the checkpoint: too old"


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, -1, 2**70, 1.5, "", "a" * 301, LARGEST_STEP + 1, [], {}, True]
)


@given(message=VALUES | st.dictionaries(st.sampled_from(["request", "step", "size", "unusable", "piece"]), VALUES))
def test_a_message_about_a_checkpoint_is_valid_or_malformed(message):
    with suppress(MalformedAnswerError):
        assert parse_answer(json.dumps({"job": 0, "artifact": message}).encode(), trains=True).job == 0


@pytest.mark.parametrize(
    ("message", "parsed"),
    [
        ({"request": 1, "step": LARGEST_STEP, "size": 5}, CheckpointAnnouncement(1, LARGEST_STEP, 5)),
        ({"request": 1, "unusable": None}, RestoreRequest(1, None)),
        ({"request": 1, "unusable": "damaged"}, RestoreRequest(1, "damaged")),
        ({"request": 1}, PieceRequest(1)),
    ],
)
def test_the_messages_about_checkpoints(message, parsed):
    assert artifact_messages.parse(message) == parsed


class Supervisor:
    """A supervisor that keeps archives by their steps, and answers each message of a sender."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.kept: list[tuple[int, bytes]] = []
        self.unusable: list[str] = []
        self.error: str | None = None
        self.is_leaving = False
        self.reported: tuple[int, float | None] | None = None
        self._step, self._missing, self._data = 0, 0, b""
        self.sender = ArtifactSender(self.receive, self.replies, self.trial_folder, lambda: self.is_leaving)
        self.sender.begin(3, CONTEXT)

    @contextmanager
    def trial_folder(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield folder

    def receive(self, message: Any) -> None:
        content = artifact_messages.parse(message["artifact"])
        if isinstance(content, CheckpointAnnouncement):
            self._step, self._missing, self._data = content.step, content.size, b""
            self.reply(content.request, self.error)
        elif isinstance(content, ArtifactPiece):
            self._data += content.piece
            if len(self._data) == self._missing:
                self.kept.append((self._step, self._data))
                self.reply(content.request)
        elif isinstance(content, RestoreRequest):
            if content.unusable is not None:
                self.unusable.append(content.unusable)
                self.kept.pop()
            step, self._data = self.kept[-1] if self.kept else (None, b"")
            self.reply(content.request, step=step, size=len(self._data), reported=self.reported)
        elif isinstance(content, PieceRequest):
            piece, self._data = self._data[:PIECE], self._data[PIECE:]
            self.reply(content.request, piece=base64.b64encode(piece).decode())

    def reply(self, request: int, error: str | None = None, **content: Any) -> None:
        self.replies.put(artifact_messages.reply(request, error, **content))


@pytest.fixture
def supervisor(tmp_path, monkeypatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(artifact_saving, "_saver", None)
    (tmp_path / "trials").mkdir()
    supervisor = Supervisor(tmp_path / "trials")
    artifact_saving.use(supervisor.sender)
    yield supervisor
    supervisor.sender.end()


def test_an_objective_restores_the_last_checkpoint(supervisor):
    assert CONTEXT.restore() is None
    for step in (3, 4):
        with CONTEXT.checkpoint(step) as folder:
            assert list(folder.iterdir()) == []
            (folder / "deep").mkdir()
            (folder / "deep" / "weights").write_bytes(DATA + bytes([step]))
    last = CONTEXT.restore()
    assert isinstance(last, ledger.Checkpoint)
    assert last.step == 4
    assert (last.folder / "deep" / "weights").read_bytes() == DATA + b"\4"
    assert list(supervisor.folder.iterdir()) == [last.folder]
    supervisor.sender.end()
    assert list(supervisor.folder.iterdir()) == []


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_restored_objective_reports_its_last_step_again(supervisor, is_stopped):
    supervisor.reported = (3, 0.25)
    with CONTEXT.checkpoint(4):
        pass
    sent: list[Any] = []
    with receive_reports(CONTEXT, ValueScale(), lambda *report: sent.append(report), lambda: is_stopped):
        if is_stopped:
            with pytest.raises(ledger.TrialPruned):
                CONTEXT.restore()
        else:
            last = CONTEXT.restore()
            assert last is not None
            assert last.step == 4
    assert sent == [(3, 0.25, None)]


def test_an_exception_in_the_block_keeps_nothing(supervisor):
    with pytest.raises(KeyError), CONTEXT.checkpoint(3) as folder:
        (folder / "half").touch()
        raise KeyError
    assert supervisor.kept == []
    assert list(supervisor.folder.iterdir()) == []


def test_an_archive_that_cannot_be_unpacked_is_left_out(supervisor):
    with CONTEXT.checkpoint(3) as folder:
        (folder / "weights").touch()
    supervisor.kept += [(4, b"no archive"), (5, b"")]
    last = CONTEXT.restore()
    assert last is not None
    assert last.step == 3
    assert len(supervisor.unusable) == 2
    assert all("the archive cannot be read: BadZipFile" in reason for reason in supervisor.unusable)
    supervisor.kept = [(4, b"no archive")]
    assert CONTEXT.restore() is None


def test_an_error_of_the_supervisor_is_raised_by_checkpoint(supervisor):
    supervisor.error = "the store is full"
    with pytest.raises(LedgerError, match="^checkpoint: the store is full$"), CONTEXT.checkpoint(3) as folder:
        (folder / "weights").touch()
    assert list(supervisor.folder.iterdir()) == []


def test_a_folder_with_a_link_is_no_checkpoint(supervisor):
    with pytest.raises(LedgerError, match="^checkpoint: odd is a link"), CONTEXT.checkpoint(3) as folder:
        (folder / "odd").symlink_to("/etc/passwd")
    assert supervisor.kept == []


def test_a_folder_that_has_disappeared_is_no_checkpoint(supervisor):
    with pytest.raises(LedgerError, match="^checkpoint: the folder cannot be read"), CONTEXT.checkpoint(3) as folder:
        folder.rmdir()


def test_a_full_disk_is_an_error_of_restore(supervisor, monkeypatch):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with CONTEXT.checkpoint(3):
        pass
    monkeypatch.setattr(checkpoint_archive, "unpack", full)
    with pytest.raises(LedgerError, match=r"^restore: the checkpoint cannot be written: .*No space left"):
        CONTEXT.restore()


@pytest.mark.parametrize("kind", [TimeoutError, ValueError, Exception])
@pytest.mark.parametrize("name", ["keep", "restore"])
def test_an_objective_leaves_a_call_by_its_own_exception(supervisor, monkeypatch, kind, name):
    """For example by the handler of a signal."""

    def leave(*_: Any) -> None:
        raise kind("of the objective")

    with CONTEXT.checkpoint(3):
        pass
    monkeypatch.setattr(supervisor.sender, name, leave)
    with pytest.raises(kind, match="^of the objective$"):
        if name == "restore":
            CONTEXT.restore()
        else:
            with CONTEXT.checkpoint(4):
                pass


def test_a_trial_that_has_ended_keeps_and_restores_nothing(supervisor):
    supervisor.sender.end()
    with pytest.raises(LedgerError, match="^checkpoint: the trial has ended"), CONTEXT.checkpoint(3):
        pass
    with pytest.raises(LedgerError, match="^restore: the trial has ended"):
        CONTEXT.restore()


def test_an_objective_learns_that_its_worker_must_stop(supervisor):
    assert not CONTEXT.should_leave()
    supervisor.is_leaving = True
    assert CONTEXT.should_leave()


@pytest.mark.parametrize(
    ("step", "kind", "said"),
    [
        (1.0, TypeError, "the step of the checkpoint is 1.0, which is not an integer"),
        (True, TypeError, "the step of the checkpoint is true"),
        (-1, ValueError, "the step of the checkpoint is -1: give an integer from 0 to"),
        (LARGEST_STEP + 1, ValueError, "the step of the checkpoint is 1000000000000001"),
    ],
)
def test_a_step_of_a_checkpoint_is_an_integer_from_0(step, kind, said):
    with pytest.raises(kind, match=said), CONTEXT.checkpoint(step):
        pass


def test_a_test_of_an_objective_keeps_nothing():
    with CONTEXT.checkpoint(3) as folder:
        (folder / "weights").touch()
    assert not folder.exists()
    assert CONTEXT.restore() is None
    assert not CONTEXT.should_leave()
    with pytest.raises(LedgerError, match="odd is a link"), CONTEXT.checkpoint(4) as folder:
        (folder / "odd").symlink_to("/etc/passwd")


def test_a_child_process_of_an_objective_has_no_checkpoints(monkeypatch):
    monkeypatch.setenv(INSIDE, "1")
    for call in (CONTEXT.restore, CONTEXT.should_leave, CONTEXT.checkpoint(3).__enter__):
        with pytest.raises(LedgerError, match="this is not the process of the objective"):
            call()
    assert os.environ[INSIDE] == "1"
