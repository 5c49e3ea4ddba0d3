"""Artifacts on their way from an objective through the supervisor: messages, steps, and stores that fail."""

import base64
import hashlib
import json
import math
import os
import queue
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from select import select
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ledger
from ledger.database import artifact_protocol
from ledger.database.protocol import ClaimedTrial
from ledger.database.session import DatabaseUnavailable, ValuesRefused
from ledger.errors import LedgerError, UsageError
from ledger.objectives import artifact_saving
from ledger.objectives.reporting import INSIDE
from ledger.store import Content, opened
from ledger.store.folder import FolderStore
from ledger.worker import artifact_messages
from ledger.worker.artifact_messages import ArtifactAnnouncement, ArtifactPiece, ArtifactSender
from ledger.worker.artifact_saver import MOST_ABANDONED, ArtifactSaver
from ledger.worker.outcome import MalformedAnswerError, parse_answer

DATA = b"weights" * 400_000
HELD = ClaimedTrial(uuid.uuid4(), 1, "s", 0, 1, {}, {}, 1, 30.0, 10.0, None, None)
CONTEXT = ledger.Context(study="s", trial=0, attempt=1, seed=7, study_seed=42)


class Database:
    """A database that answers each statement as the ledger does."""

    def __init__(self, begun: str = "wanted", saved: str = "saved") -> None:
        self.begun, self.saved = begun, saved
        self.content = uuid.uuid4()
        self.pieces: list[bytes] = []
        self.calls: list[str] = []
        self.failures: list[Exception] = []

    def call(self, statement: Callable[..., Any], *args: Any) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append(statement.__name__)
        if statement is artifact_protocol.begin:
            return self.begun, self.content if self.begun in ("wanted", "stored") else None
        if statement is artifact_protocol.add_piece:
            self.pieces.append(args[-1])
            return "recorded"
        return self.saved


def messages(data: bytes, request: int = 0, name: str = "model.bin") -> Iterator[Any]:
    yield ArtifactAnnouncement(request, name, len(data))
    for first in range(0, len(data), artifact_saving.PIECE):
        yield ArtifactPiece(request, data[first : first + artifact_saving.PIECE])


def run(saver: ArtifactSaver, database: Database, data: bytes = DATA, **of: Any) -> None:
    for message in messages(data, **of):
        saver.accept(HELD, message)
        saver.advance(database.call)
    finish(saver, database)


def finish(saver: ArtifactSaver, database: Database) -> None:
    while saver.due_at < math.inf or saver.descriptors:
        pause = None if saver.due_at == math.inf else max(0.0, saver.due_at - time.monotonic())
        select(saver.descriptors, [], [], pause)
        saver.advance(database.call)


def wait_for_threads() -> None:
    """Wait until no thread uses a store."""
    for thread in threading.enumerate():
        if thread.daemon and any(each in thread.name for each in ("_run", "_discard", "_remove")):
            thread.join()


@pytest.fixture
def replies() -> list[dict[str, Any]]:
    return []


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one byte", "several pieces"])
def test_the_ledger_gets_an_artifact_in_pieces(replies, data):
    database = Database()
    run(ArtifactSaver(None, replies.append), database, data)
    assert b"".join(database.pieces) == data
    assert database.calls == ["begin", *["add_piece"] * -(-len(data) // 2**20), "save"]
    assert replies == [{"request": 0, "error": None}] * 2


def test_a_store_gets_an_artifact_before_the_ledger_refers_to_it(replies, tmp_path):
    store = (tmp_path / "artifacts").as_uri()
    database = Database()
    run(ArtifactSaver(store, replies.append), database)
    assert database.calls == ["begin", "save"]
    content = Content(hashlib.sha256(DATA).hexdigest(), len(DATA), database.content)
    assert b"".join(opened(store).pieces(content)) == DATA
    assert replies == [{"request": 0, "error": None}] * 2


def test_a_content_that_the_ledger_has_is_not_sent_again(replies):
    database = Database(begun="stored")
    run(ArtifactSaver(None, replies.append), database)
    assert database.calls == ["begin", "save"]


def test_an_outage_delays_an_artifact_and_loses_nothing(replies):
    database = Database()
    saver = ArtifactSaver(None, replies.append)
    for message in messages(b"x"):
        saver.accept(HELD, message)
    for _ in range(3):
        database.failures = [DatabaseUnavailable(0.0)]
        saver.advance(database.call)
        assert len(replies) == 1
        saver.due_at = 0.0
        saver.advance(database.call)
    assert database.calls == ["begin", "add_piece", "save"]
    assert replies[-1] == {"request": 0, "error": None}


@pytest.mark.parametrize(
    ("database", "said"),
    [
        (Database(begun="stale"), "the trial was claimed again, has ended or was deleted"),
        (Database(begun="unknown"), "the trial was claimed again, has ended or was deleted"),
        (Database(saved="stale"), "the trial was claimed again, has ended or was deleted"),
        (Database(saved="unbegun"), "save the artifact again"),
    ],
)
def test_the_objective_reads_why_an_artifact_is_not_saved(replies, database, said):
    run(ArtifactSaver(None, replies.append), database)
    assert said in replies[-1]["error"]


def test_a_refusal_of_the_database_reaches_the_objective(replies):
    database = Database()
    database.failures = [ValuesRefused("artifact a, the attempt already has 100 artifacts")]
    run(ArtifactSaver(None, replies.append), database)
    assert replies[-1]["error"] == (
        "the database refused the artifact: artifact a, the attempt already has 100 artifacts"
    )


@pytest.mark.parametrize("hurdle", ["file", "read-only"])
def test_a_store_that_fails_is_an_error_with_its_reason(replies, tmp_path, hurdle, monkeypatch):
    store = tmp_path / "artifacts"
    store.mkdir()
    saver = ArtifactSaver(store.as_uri(), replies.append)
    if hurdle == "file":
        store.rmdir()
        store.write_text("not a folder")
    else:

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
    database = Database()
    run(saver, database)
    assert database.calls == ["begin"]
    assert replies[-1]["error"].startswith(f"the store {store.as_uri()} cannot keep the content: ")
    assert replies[-1]["error"].endswith("No space left on device" if hurdle != "file" else "directory")


def test_an_artifact_that_is_too_large_for_the_ledger_is_refused_at_once(replies):
    saver = ArtifactSaver(None, replies.append)
    saver.accept(HELD, ArtifactAnnouncement(0, "model.bin", 2**26 + 1))
    (reply,) = replies
    assert reply["error"] == (
        "artifact model.bin has 67,108,865 bytes, but the ledger itself keeps at most 67,108,864 bytes for each"
        " artifact: start the worker with --store"
    )


def test_a_worker_without_room_says_so(replies, monkeypatch):
    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    run(ArtifactSaver(None, replies.append), Database())
    assert replies == [
        {
            "request": 0,
            "error": "the worker cannot receive the artifact (No space left on device): free space in the folder for"
            " temporary files",
        }
    ]


def test_a_content_longer_than_announced_is_refused(replies):
    saver = ArtifactSaver(None, replies.append)
    saver.accept(HELD, ArtifactAnnouncement(0, "a", 1))
    saver.accept(HELD, ArtifactPiece(0, b"xx"))
    assert "longer than announced" in replies[-1]["error"]


def test_another_announcement_replaces_an_unfinished_artifact(replies, tmp_path):
    store = (tmp_path / "artifacts").as_uri()
    database = Database()
    saver = ArtifactSaver(store, replies.append)
    for message in messages(DATA):
        saver.accept(HELD, message)
    saver.advance(database.call)
    assert saver.descriptors, "the thread writes into the store"
    run(saver, database, b"x", request=1, name="other")
    assert [reply["request"] for reply in replies] == [0, 1, 1]
    assert database.calls == ["begin", "begin", "save"]
    saver.accept(HELD, ArtifactPiece(0, b"late"))
    assert len(replies) == 3


def test_an_abandoned_content_disappears_from_its_store(replies, tmp_path):
    store = tmp_path / "artifacts"
    database = Database()
    saver = ArtifactSaver(store.as_uri(), replies.append)
    for message in messages(DATA):
        saver.accept(HELD, message)
    saver.advance(database.call)
    saver.abandon()
    assert (saver.descriptors, len(replies)) == ([], 1)
    content = Content(hashlib.sha256(DATA).hexdigest(), len(DATA), database.content)
    wait_for_threads()
    assert not (store / content.path).exists()


def test_a_content_of_a_claim_that_is_not_valid_leaves_the_store(replies, tmp_path):
    store = tmp_path / "artifacts"
    database = Database(saved="stale")
    run(ArtifactSaver(store.as_uri(), replies.append), database)
    content = Content(hashlib.sha256(DATA).hexdigest(), len(DATA), database.content)
    wait_for_threads()
    assert not (store / content.path).exists()


@pytest.mark.parametrize("data", [b"", DATA], ids=["empty", "several pieces"])
def test_an_artifact_that_a_late_call_has_begun_again_is_written_again(replies, tmp_path, data):
    class Late(Database):
        """The first call of `save` finds that a late call of `begin` has replaced the content."""

        def call(self, statement: Callable[..., Any], *args: Any) -> Any:
            answer = super().call(statement, *args)
            if statement is artifact_protocol.save and self.calls.count("save") == 1:
                first.append(self.content)
                self.content = uuid.uuid4()
                return "unbegun"
            return answer

    first: list[uuid.UUID] = []
    store = tmp_path / "artifacts"
    database = Late()
    run(ArtifactSaver(store.as_uri(), replies.append), database, data)
    assert database.calls == ["begin", "save", "begin", "save"]
    assert replies == [{"request": 0, "error": None}] * 2
    digest = hashlib.sha256(data).hexdigest()
    wait_for_threads()
    assert (store / Content(digest, len(data), database.content).path).read_bytes() == data
    assert not (store / Content(digest, len(data), first[0]).path).exists()


def test_a_content_stays_if_an_answer_of_the_database_was_lost(replies, tmp_path):
    store = tmp_path / "artifacts"
    database = Database(saved="stale")
    saver = ArtifactSaver(store.as_uri(), replies.append)
    for message in messages(b"x"):
        saver.accept(HELD, message)
    while database.calls != ["begin"] or saver.descriptors:
        saver.advance(database.call)
    database.failures = [DatabaseUnavailable(0.0)]
    saver.advance(database.call)
    saver.due_at = 0.0
    finish(saver, database)
    wait_for_threads()
    content = Content(hashlib.sha256(b"x").hexdigest(), 1, database.content)
    assert (database.calls, (store / content.path).exists()) == (["begin", "save"], True)


def test_a_full_database_reaches_the_objective(replies):
    database = Database()
    saver = ArtifactSaver(None, replies.append)
    for message in messages(b"x"):
        saver.accept(HELD, message)
    saver.advance(database.call)
    database.failures = [artifact_protocol.DatabaseFullError()]
    finish(saver, database)
    assert replies[-1]["error"] == "the disk of the database is full: free space, or start the worker with --store"


def test_a_store_that_hangs_gets_few_threads(replies, tmp_path, monkeypatch):
    hangs = threading.Event()
    monkeypatch.setattr(FolderStore, "put", lambda *_: hangs.wait())
    saver = ArtifactSaver((tmp_path / "artifacts").as_uri(), replies.append)
    database = Database()
    try:
        for request in range(MOST_ABANDONED + 1):
            for message in messages(b"x", request):
                saver.accept(HELD, message)
            saver.advance(database.call)
            saver.abandon()
        assert replies[-1]["error"].startswith(
            f"the store {(tmp_path / 'artifacts').as_uri()} is still busy with 4 interrupted calls"
        )
        assert database.calls == ["begin"] * MOST_ABANDONED
    finally:
        hangs.set()
    wait_for_threads()
    run(saver, database, b"x", request=9)
    assert replies[-1] == {"request": 9, "error": None}


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, -1, 2**70, 1.5, "", "a", "../a", "bW9kZWw=", "!", [], {}, True]
)


@given(message=VALUES | st.dictionaries(st.sampled_from(["request", "name", "size", "piece"]), VALUES))
def test_a_message_about_an_artifact_is_valid_or_malformed(message):
    line = json.dumps({"job": 0, "artifact": message}).encode()
    with suppress(MalformedAnswerError):
        assert parse_answer(line, trains=True).job == 0


def test_only_a_trial_saves_artifacts():
    line = b'{"job": 0, "artifact": {"request": 0, "name": "a", "size": 0}}'
    assert parse_answer(line, trains=True).content == ArtifactAnnouncement(0, "a", 0)
    with pytest.raises(MalformedAnswerError):
        parse_answer(line, trains=False)


class Sent(list[Any]):
    """The messages of a sender. The replies are to the announcement and to the whole content, or an early error."""

    def __init__(self, errors: list[str | None]) -> None:
        super().__init__()
        self.errors = errors
        self.missing = 0
        self.replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def append(self, message: Any) -> None:
        super().append(message)
        content = message["artifact"]
        if "size" in content:
            self.missing = content["size"]
            due = self.errors if self.errors[1:] != [None] else self.errors[:1]
        else:
            self.missing -= len(base64.b64decode(content["piece"]))
            due = self.errors[1:] if self.missing == 0 else []
        for error in due:
            self.replies.put(artifact_messages.reply(content["request"], error))


def sender(errors: list[str | None]) -> tuple[ArtifactSender, Sent]:
    sent = Sent(errors)
    made = ArtifactSender(sent.append, sent.replies, lambda: nullcontext(""), lambda: False)
    made.begin(3, CONTEXT)
    return made, sent


@pytest.fixture
def as_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[ArtifactSender], None]:
    monkeypatch.setattr(artifact_saving, "_saver", None)
    return artifact_saving.use


def test_an_objective_sends_a_file_or_bytes(tmp_path, as_in_a_worker):
    path = tmp_path / "model"
    path.write_bytes(DATA)
    for content in (DATA, bytearray(DATA), memoryview(DATA), path, str(path)):
        made, sent = sender([None, None])
        as_in_a_worker(made)
        CONTEXT.save_artifact("model.bin", content)
        assert sent[0] == {"job": 3, "artifact": {"request": 0, "name": "model.bin", "size": len(DATA)}}
        pieces = [artifact_messages.parse(message["artifact"]) for message in sent[1:]]
        assert b"".join(piece.piece for piece in pieces if isinstance(piece, ArtifactPiece)) == DATA


def test_an_objective_sends_no_rest_after_an_error(as_in_a_worker):
    made, sent = sender([None, "the worker has no room"])
    as_in_a_worker(made)
    with pytest.raises(LedgerError, match="^save_artifact: the worker has no room$"):
        CONTEXT.save_artifact("model.bin", DATA)
    assert len(sent) == 1


@pytest.mark.parametrize("errors", [["the store is full"], [None, "the store is full"]])
def test_an_error_of_the_supervisor_is_raised_in_the_objective(as_in_a_worker, errors):
    made, _ = sender(errors)
    as_in_a_worker(made)
    with pytest.raises(LedgerError, match="^save_artifact: the store is full$"):
        CONTEXT.save_artifact("model.bin", DATA)


def test_a_trial_that_has_ended_saves_nothing(as_in_a_worker):
    made, sent = sender([])
    made.end()
    as_in_a_worker(made)
    with pytest.raises(LedgerError, match="the trial has ended"):
        CONTEXT.save_artifact("model.bin", b"x")
    assert sent == []


@pytest.mark.parametrize("replies", [[], [None]], ids=["before the content", "after the content"])
def test_a_thread_that_outlives_its_trial_keeps_no_other_trial_waiting(as_in_a_worker, replies):
    made, sent = sender(replies)
    as_in_a_worker(made)
    raised: list[LedgerError] = []

    def save() -> None:
        try:
            CONTEXT.save_artifact("model.bin", b"x")
        except LedgerError as error:
            raised.append(error)

    thread = threading.Thread(target=save, daemon=True)
    thread.start()
    while len(sent) < 1 + len(replies):
        assert thread.is_alive()
    made.end()
    thread.join(60.0)
    assert "the trial has ended" in str(raised[0])
    later = replace(CONTEXT, trial=1)
    made.begin(4, later)
    sent.errors = [None, None]
    with pytest.raises(LedgerError, match="the trial has ended"):
        CONTEXT.save_artifact("model.bin", b"x")
    later.save_artifact("model.bin", b"y")
    assert sent[-1]["job"] == 4


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\nb", "\ud800", "a" * 101, None, 5, b"a"])
def test_an_objective_cannot_give_a_hostile_name(name):
    with pytest.raises(UsageError, match="save_artifact: the name .* is not valid; use 1 to 100 letters"):
        CONTEXT.save_artifact(name, b"x")


@pytest.mark.parametrize("name", ["NUL", "con.txt", "Lpt1.tar.gz", "model."])
def test_an_objective_cannot_give_a_name_that_windows_forbids(name):
    with pytest.raises(UsageError, match="save_artifact: Windows allows no file with the name"):
        CONTEXT.save_artifact(name, b"x")


def test_an_objective_cannot_save_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for content, kind, said in (
        (5, UsageError, "of type int"),
        (None, UsageError, "of type NoneType"),
        (tmp_path / "missing", LedgerError, "cannot be read: .*No such file"),
        ("a\0b", LedgerError, "cannot be read"),
        (tmp_path, UsageError, "is not a file: write an archive"),
        (tmp_path / "pipe", UsageError, "is not a file"),
        ("/proc/self/status", LedgerError, "has an unknown size: read the file, and give its bytes"),
    ):
        with pytest.raises(kind, match=said):
            CONTEXT.save_artifact("a", content)  # type: ignore[arg-type]


def test_a_child_process_of_an_objective_cannot_save(monkeypatch):
    monkeypatch.setenv(INSIDE, "1")
    with pytest.raises(LedgerError, match="not the process of the objective"):
        CONTEXT.save_artifact("a", b"x")
