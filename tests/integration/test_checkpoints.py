"""Checkpoints in the database: kept under a claim, read by the next attempt, and removed beside running writers."""

import io
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.errors import InvalidParameterValue, RestrictViolation
from sqlalchemy import Connection

from ledger.database import artifact_protocol, artifacts, protocol, studies, trials
from ledger.database.bounds import ARTIFACT_PIECE, LARGEST_STEP, MOST_ARTIFACTS
from ledger.database.protocol import ClaimedTrial
from ledger.manager.artifact_cleaner import ArtifactCleaner
from ledger.store import Content, opened
from ledger.worker.artifact_messages import CheckpointAnnouncement
from tests.integration.ledgers import make_study, take
from tests.integration.test_artifacts import DATA, STORE, begin, count, save, save_begun, saved, sha256, upload


def name(step: int) -> str:
    return CheckpointAnnouncement(0, step, 0).name


def keep(
    connection: psycopg.Connection[Any], held: ClaimedTrial, step: int, data: bytes, store: str | None = None
) -> str:
    return save(connection, held, name(step), data, store)


def last(connection: psycopg.Connection[Any], held: ClaimedTrial) -> list[tuple[int, int]]:
    return [(each.attempt, each.step) for each in artifact_protocol.last_checkpoints(connection, held)]


def pieces(connection: psycopg.Connection[Any], held: ClaimedTrial, content: uuid.UUID) -> Iterator[bytes]:
    number = 0
    while (piece := artifact_protocol.checkpoint_piece(connection, held, content, number)) is not None:
        yield piece
        number += 1


def shown(db: Connection) -> list[tuple[int, int, int]]:
    with db.begin():
        rows = db.exec_driver_sql("select trial, attempt, step from ledger.checkpoints order by 1, 2, 3").all()
    return [tuple(row) for row in rows]


def another_attempt(connection: psycopg.Connection[Any], held: ClaimedTrial) -> ClaimedTrial:
    """Release a trial, and claim the trial again."""
    assert protocol.release(connection, held)
    again = take(connection)
    assert (again.trial, again.attempt) == (held.trial, held.attempt + 1)
    return again


@pytest.mark.parametrize("data", [b"x", DATA], ids=["one byte", "several pieces"])
def test_the_next_attempt_reads_the_last_checkpoint(db, connection, data):
    make_study(db, trials=1)
    held = take(connection)
    assert last(connection, held) == []
    assert keep(connection, held, 0, b"first") == "saved"
    assert keep(connection, held, 10, data) == "saved"
    again = another_attempt(connection, held)
    newest, before = artifact_protocol.last_checkpoints(connection, again)
    assert (newest.attempt, newest.step, newest.sha256, newest.size, newest.store) == (
        *(1, 10, sha256(data), len(data)),
        None,
    )
    assert b"".join(pieces(connection, again, newest.content)) == data
    assert b"".join(pieces(connection, again, before.content)) == b"first"


def test_a_half_written_checkpoint_is_never_readable(db, connection):
    make_study(db, trials=1)
    held = take(connection)
    keep(connection, held, 1, b"whole")
    answer, content = begin(connection, held, name(2), DATA)
    assert answer == "wanted"
    assert content is not None
    assert artifact_protocol.add_piece(connection, held, name(2), 0, DATA[:ARTIFACT_PIECE]) == "recorded"
    with pytest.raises(InvalidParameterValue, match="its SHA-256 is not"):
        save_begun(connection, held, name(2))
    again = another_attempt(connection, held)
    for reader in (held, again):
        assert list(pieces(connection, reader, content)) == []
    assert last(connection, again) == [(1, 1)]
    assert shown(db) == [(0, 1, 1)]


def test_a_stale_claim_keeps_and_reads_nothing(db, connection):
    make_study(db, trials=1)
    zombie = take(connection)
    keep(connection, zombie, 1, b"mine")
    begin(connection, zombie, name(2), b"late")
    held = another_attempt(connection, zombie)
    keep(connection, held, 2, b"theirs")
    stranger = replace(held, claim=uuid.uuid4())
    for late, word in ((zombie, "stale"), (stranger, "unknown")):
        assert begin(connection, late, name(3), b"x") == (word, None)
        assert artifact_protocol.add_piece(connection, late, name(2), 0, b"late") == word
        assert save_begun(connection, late, name(2)) == word
        assert last(connection, late) == []
    newest, before = artifact_protocol.last_checkpoints(connection, held)
    assert (newest.attempt, newest.step, before.attempt, before.step) == (2, 2, 1, 1)
    assert list(pieces(connection, zombie, newest.content)) == []
    assert list(pieces(connection, held, newest.content)) == [b"theirs"]


def test_a_worker_reads_only_the_checkpoints_of_its_trial(db, connection):
    make_study(db)
    first, second = take(connection), take(connection)
    keep(connection, first, 1, b"first")
    save(connection, second, "model.bin", b"second")
    (checkpoint,) = artifact_protocol.last_checkpoints(connection, first)
    artifact = saved(db)[0].content
    assert artifact is not None
    assert last(connection, second) == []
    assert list(pieces(connection, second, checkpoint.content)) == []
    assert list(pieces(connection, second, artifact)) == [], "an artifact is no checkpoint"


def test_a_trial_keeps_its_last_two_checkpoints(db, connection):
    make_study(db, trials=1)
    held = take(connection)
    for step in (1, 2, 3, 10):
        assert keep(connection, held, step, bytes([step])) == "saved"
    assert last(connection, held) == [(1, 10), (1, 3)]
    held = another_attempt(connection, held)
    assert keep(connection, held, 4, b"again") == "saved"
    assert last(connection, held) == [(2, 4), (1, 10)], "the attempt may have started again"
    assert keep(connection, held, 5, b"again") == "saved"
    assert last(connection, held) == [(2, 5), (2, 4)]
    assert count(connection, "artifact") == 2
    assert count(connection, "artifact_content") == 1, "equal checkpoints share a content"


def test_a_checkpoint_of_the_same_step_replaces_the_earlier_one(db, connection):
    make_study(db, trials=1)
    held = take(connection)
    keep(connection, held, 7, b"first")
    begin(connection, held, name(7), b"second")
    (checkpoint,) = artifact_protocol.last_checkpoints(connection, held)
    assert list(pieces(connection, held, checkpoint.content)) == [b"first"]
    assert keep(connection, held, 7, b"second") == "saved"
    (checkpoint,) = artifact_protocol.last_checkpoints(connection, held)
    assert list(pieces(connection, held, checkpoint.content)) == [b"second"]
    assert count(connection, "artifact_content") == 1


def test_each_call_about_a_checkpoint_can_be_repeated(db, connection):
    make_study(db, trials=1)
    held = take(connection)
    keep(connection, held, 1, b"first")
    first = begin(connection, held, name(2), DATA)
    assert begin(connection, held, name(2), DATA) == first
    upload(connection, held, name(2), DATA)
    assert save_begun(connection, held, name(2)) == "saved"
    assert save_begun(connection, held, name(2)) == "already"


def test_the_steps_of_an_attempt_never_become_smaller(db, connection):
    make_study(db, trials=1)
    held = take(connection)
    keep(connection, held, 9, b"x")
    with pytest.raises(
        InvalidParameterValue, match=r"already has a checkpoint of step 9; keep a checkpoint of a later"
    ):
        begin(connection, held, name(8), b"y")
    held = another_attempt(connection, held)
    assert keep(connection, held, 8, b"y") == "saved", "the content of step 9 may be damaged"


@pytest.mark.parametrize(
    "malformed",
    [
        *(".checkpoint-", ".checkpoint--1", ".checkpoint-07", ".checkpoint-1.5", ".checkpoint-x", ".checkpoint-1\n"),
        *(f".checkpoint-{LARGEST_STEP + 1}", f".checkpoint-{10**30}", ".Checkpoint-1", ".other"),
    ],
)
def test_a_malformed_name_of_a_checkpoint_is_refused(db, connection, malformed):
    make_study(db)
    with pytest.raises(InvalidParameterValue, match="the name: "):
        begin(connection, take(connection), malformed, b"x")
    assert count(connection, "artifact") == 0


def test_checkpoints_are_no_artifacts(db, connection):
    """They count in no list and no limit of artifacts, and have no rank among the best trials."""
    row = make_study(db)
    best, other = take(connection), take(connection)
    for number in range(MOST_ARTIFACTS):
        begin(connection, other, f"a{number}", b"x")
    keep(connection, best, LARGEST_STEP, b"x")
    keep(connection, other, 1, b"y")
    save(connection, other, "a0", b"z")
    assert protocol.complete(connection, best, 0.1, {}, 1.0) == "recorded"
    assert protocol.complete(connection, other, 0.5, {}, 1.0) == "recorded"
    assert [(each.trial, each.name) for each in saved(db)] == [(other.trial, "a0")]
    assert artifacts.remove_beaten(db, row.id, 1) == 0
    assert artifacts.count(db, row.id) == 1
    assert shown(db) == [(0, 1, LARGEST_STEP), (1, 1, 1)]


def test_checkpoints_that_fail_leave_one_unfinished_content(db, connection):
    make_study(db, trials=1)
    held = take(connection)
    for step in range(5):
        begin(connection, held, name(step), DATA + bytes([step]))
        upload(connection, held, name(step), DATA + bytes([step]))
    assert (count(connection, "artifact"), count(connection, "artifact_content")) == (1, 1)
    held = another_attempt(connection, held)
    assert keep(connection, held, 0, b"x") == "saved"
    assert (count(connection, "artifact"), count(connection, "artifact_content")) == (1, 1)


def end(db: Connection, connection: psycopg.Connection[Any], held: ClaimedTrial, how: str) -> None:
    if how == "complete":
        assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"
    elif how == "failed":
        assert protocol.fail(connection, held, "it broke", 1.0) == "failed"
    else:
        trials.cancel(db, held.study_id, [held.trial], "enough")


@pytest.mark.parametrize("how", ["complete", "failed", "cancelled"])
def test_a_manager_removes_the_checkpoints_of_ended_trials_alone(db, connection, how):
    row = make_study(db, trials=3, max_failures=1)
    make_study(db, "other", trials=1)
    ended, running, released, elsewhere = *(take(connection) for _ in range(3)), take(connection, "other")
    for held in (ended, running, released, elsewhere):
        keep(connection, held, 1, DATA)
        keep(connection, held, 2, b"last")
        begin(connection, held, name(3), b"half")
    save(connection, ended, "model.bin", b"model")
    end(db, connection, ended, how)
    end(db, connection, elsewhere, "complete")
    protocol.release(connection, released)
    ArtifactCleaner(db, row, None, None).finish()
    # trial 0 of the other study still has its checkpoints
    assert shown(db) == [(trial, 1, step) for trial in (0, running.trial, released.trial) for step in (1, 2)]
    assert [each.name for each in saved(db)] == ["model.bin"]
    upload(connection, running, name(3), b"half")
    assert save_begun(connection, running, name(3)) == "saved"
    assert last(connection, running) == [(1, 3), (1, 2)]
    assert last(connection, take(connection)) == [(1, 2), (1, 1)]
    artifacts.discard(db)
    assert {trial for trial, _attempt, _step in shown(db)} == {running.trial, released.trial}


def test_a_removed_checkpoint_leaves_its_store(db, connection, tmp_path):
    row = make_study(db, trials=1)
    store = opened((tmp_path / "mine").as_uri())
    held = take(connection)
    for step in (1, 2, 3):
        data = bytes([step])
        answer, content = begin(connection, held, name(step), data, store.url)
        assert answer == "wanted"
        assert content is not None
        store.put(Content(sha256(data), 1, content), io.BytesIO(data))
        assert save_begun(connection, held, name(step)) == "saved"
    cleaner = ArtifactCleaner(db, row, None, store.url)

    def kept() -> list[bytes]:
        return sorted(path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file())

    cleaner.finish()
    assert kept() == [b"\2", b"\3"]
    end(db, connection, held, "complete")
    ArtifactCleaner(db, row, None, store.url).finish()
    assert kept() == []
    assert count(connection, "artifact_content") == 0


def test_many_checkpoints_are_removed_in_several_calls(db, connection):
    row = make_study(db, trials=30)
    for _ in range(30):
        held = take(connection)
        keep(connection, held, 1, b"x")
        keep(connection, held, 2, b"y", STORE)
        end(db, connection, held, "complete")
    assert [artifacts.remove_some_checkpoints(db, row.id) for _ in range(3)] == [50, 10, 0]
    assert len(artifacts.discard(db)) == 30


def test_a_locked_checkpoint_keeps_no_session_waiting(url, db, connection):
    row = make_study(db, trials=2)
    held, ended = take(connection), take(connection)
    for step in (1, 2):
        keep(connection, held, step, b"x")
        keep(connection, ended, step, b"x")
    end(db, connection, ended, "complete")
    with psycopg.connect(url) as idle:
        idle.execute("select from ledger.artifact where step = 1 for update")
        assert keep(connection, held, 3, b"x") == "saved"
        assert artifacts.remove_some_checkpoints(db, row.id) == 1
        assert shown(db) == [(0, 1, 1), (0, 1, 2), (0, 1, 3), (1, 1, 1)]
        assert last(connection, held) == [(1, 3), (1, 2)]
    assert keep(connection, held, 4, b"x") == "saved"
    assert artifacts.remove_some_checkpoints(db, row.id) == 1
    assert shown(db) == [(0, 1, 3), (0, 1, 4)]


def test_a_checkpoint_does_not_change_after_its_attempt(db, connection):
    make_study(db, trials=1)
    held = take(connection)
    keep(connection, held, 1, b"x")
    another_attempt(connection, held)
    for statement in (
        "update ledger.artifact set name = '.checkpoint-2'",
        "update ledger.artifact set sha256 = repeat('0', 64)",
        "update ledger.artifact set saved_at = saved_at - interval '1 day'",
        "update ledger.artifact_piece set bytes = 'y'",
    ):
        with pytest.raises(RestrictViolation):
            connection.execute(statement)


def test_a_deleted_study_takes_its_checkpoints_along(db, connection):
    row = make_study(db, trials=1)
    held = take(connection)
    keep(connection, held, 1, DATA)
    keep(connection, held, 2, b"far", STORE)
    assert studies.delete(db, row) == "deleted"
    assert [discarded.store for discarded in artifacts.discard(db)] == [STORE]
    assert count(connection, "artifact") == 0
