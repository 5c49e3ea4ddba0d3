"""Artifacts in the database: saved under a claim, read by all readers, and removed beside running writers."""

import hashlib
import io
import uuid
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.errors import IntegrityError, InvalidParameterValue, LockNotAvailable, RestrictViolation
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ledger import artifacts as use_cases
from ledger.database import artifact_protocol, artifacts, protocol, studies, trials
from ledger.database.bounds import ARTIFACT_PIECE, LARGEST_KEPT_ARTIFACT, MOST_ARTIFACTS
from ledger.database.protocol import ClaimedTrial
from ledger.database.rows import ArtifactRow
from ledger.errors import LedgerError
from ledger.manager.artifact_cleaner import ArtifactCleaner
from ledger.settings import Settings
from ledger.store import Content, opened
from tests.integration.ledgers import make_study, take
from tests.integration.test_commands import run as run

DATA = b"weights" * 400_000
STORE = "s3://bucket/artifacts"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def begin(
    connection: psycopg.Connection[Any], held: ClaimedTrial, name: str, data: bytes, store: str | None = None
) -> tuple[str, uuid.UUID | None]:
    return artifact_protocol.begin(connection, held, name, sha256(data), len(data), store)


def upload(connection: psycopg.Connection[Any], held: ClaimedTrial, name: str, data: bytes) -> None:
    for number, first in enumerate(range(0, len(data), ARTIFACT_PIECE)):
        piece = data[first : first + ARTIFACT_PIECE]
        assert artifact_protocol.add_piece(connection, held, name, number, piece) == "recorded"


def save(
    connection: psycopg.Connection[Any], held: ClaimedTrial, name: str, data: bytes, store: str | None = None
) -> str:
    answer, content = begin(connection, held, name, data, store)
    if answer == "wanted" and store is None:
        upload(connection, held, name, data)
    assert content is not None
    return artifact_protocol.save(connection, held, name, content)


def save_begun(connection: psycopg.Connection[Any], held: ClaimedTrial, name: str) -> str:
    """Save the artifact with the content of the last call of `begin`. Without such a call, the content is unknown."""
    found = connection.execute(
        "select coalesce(uploading, content) from ledger.artifact"
        " where (study_id, trial, attempt, name) = (%s, %s, %s, %s)",
        (held.study_id, held.trial, held.attempt, name),
    ).fetchone()
    return artifact_protocol.save(connection, held, name, found[0] if found and found[0] else uuid.uuid4())


def saved(db: Connection) -> list[ArtifactRow]:
    return list(artifacts.of_study(db, studies.get(db, "s").id))


def read(db: Connection, row: ArtifactRow) -> bytes:
    assert row.content is not None
    return b"".join(artifacts.pieces(db, row.content))


def count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"select count(*) from ledger.{table}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one byte", "several pieces"])
def test_readers_read_what_a_worker_saved(db, connection, data):
    make_study(db)
    held = take(connection)
    assert save(connection, held, "model.bin", data) == "saved"
    (row,) = saved(db)
    assert (row.trial, row.attempt, row.name) == (held.trial, 1, "model.bin")
    assert (row.size, row.sha256, row.store, row.removed_at) == (len(data), sha256(data), None, None)
    assert read(db, row) == data


def test_readers_see_an_artifact_only_when_it_is_complete(db, connection):
    make_study(db)
    held = take(connection)
    begin(connection, held, "model.bin", DATA)
    assert artifact_protocol.add_piece(connection, held, "model.bin", 0, DATA[:ARTIFACT_PIECE]) == "recorded"
    with pytest.raises(InvalidParameterValue, match="artifact model.bin, the content: its SHA-256 is not"):
        save_begun(connection, held, "model.bin")
    assert saved(db) == []


def test_each_call_can_be_repeated(db, connection):
    make_study(db)
    held = take(connection)
    first = begin(connection, held, "model.bin", DATA)
    assert first[0] == "wanted"
    assert begin(connection, held, "model.bin", DATA) == first
    upload(connection, held, "model.bin", DATA)
    assert artifact_protocol.add_piece(connection, held, "model.bin", 0, DATA[:ARTIFACT_PIECE]) == "already"
    assert save_begun(connection, held, "model.bin") == "saved"
    assert save_begun(connection, held, "model.bin") == "already"


def test_a_late_call_cannot_replace_the_content_that_is_saved(db, connection):
    """A call whose answer was lost reaches the database after the worker has repeated the call."""
    make_study(db)
    held = take(connection)
    _, written = begin(connection, held, "model.bin", DATA, STORE)
    assert written is not None
    _, unwritten = begin(connection, held, "model.bin", DATA, STORE)
    assert artifact_protocol.save(connection, held, "model.bin", written) == "unbegun"
    assert saved(db) == []
    assert save(connection, held, "model.bin", DATA, STORE) == "saved"
    _, late = begin(connection, held, "model.bin", DATA, STORE)
    content = saved(db)[0].content
    assert content is not None
    assert content not in (written, unwritten, late)
    assert artifact_protocol.save(connection, held, "model.bin", content) == "already"


def test_each_writer_into_a_store_gets_a_content_of_its_own(db, connection):
    """A thread may still write for a call of `save_artifact` that the objective has left, and then removes it."""
    make_study(db)
    held = take(connection)
    contents = [begin(connection, held, "model.bin", DATA, STORE) for _ in range(2)]
    assert [answer for answer, _ in contents] == ["wanted", "wanted"]
    assert contents[0] != contents[1]
    assert save_begun(connection, held, "model.bin") == "saved"
    assert saved(db)[0].content == contents[1][1]
    assert [discarded.id for discarded in artifacts.discard(db)] == [contents[0][1]]


def test_a_worker_saves_an_artifact_again_and_replaces_it(db, connection):
    make_study(db)
    held = take(connection)
    save(connection, held, "best.bin", DATA)
    begin(connection, held, "best.bin", b"better")
    assert read(db, saved(db)[0]) == DATA, "the earlier one stays until the new one is complete"
    assert save(connection, held, "best.bin", b"better") == "saved"
    (row,) = saved(db)
    assert read(db, row) == b"better"
    assert count(connection, "artifact_content") == 1


def test_nothing_is_saved_that_was_not_begun(db, connection):
    make_study(db)
    held = take(connection)
    assert artifact_protocol.add_piece(connection, held, "a", 0, b"x") == "unbegun"
    assert save_begun(connection, held, "a") == "unbegun"
    begin(connection, held, "a", b"x", STORE)
    assert artifact_protocol.add_piece(connection, held, "a", 0, b"x") == "unbegun", "the store keeps this one"
    assert artifact_protocol.save(connection, held, "a", uuid.uuid4()) == "unbegun"


def test_a_worker_without_a_valid_claim_saves_nothing(db, connection):
    make_study(db)
    held = take(connection)
    begin(connection, held, "a", b"x")
    stranger = replace(held, claim=uuid.uuid4())
    assert protocol.release(connection, held)
    for late, word in ((held, "stale"), (stranger, "unknown")):
        assert begin(connection, late, "a", b"x") == (word, None)
        assert artifact_protocol.add_piece(connection, late, "a", 0, b"x") == word
        assert save_begun(connection, late, "a") == word
    again = take(connection)
    assert (again.trial, again.attempt) == (held.trial, 2)
    assert save(connection, again, "a", b"y") == "saved"
    assert [(row.attempt, read(db, row)) for row in saved(db)] == [(2, b"y")]


def test_the_artifacts_of_attempts_stay_apart(db, connection):
    make_study(db)
    for data in (b"first", b"second"):
        held = take(connection)
        assert save(connection, held, "a", data) == "saved"
        protocol.fail(connection, held, "it broke", 1.0)
    assert [(row.attempt, read(db, row)) for row in saved(db)] == [(1, b"first"), (2, b"second")]


def test_a_cancelled_trial_saves_nothing(db, connection):
    row = make_study(db)
    held = take(connection)
    studies.cancel(db, row.id, "enough")
    assert begin(connection, held, "a", b"x") == ("stale", None)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", ".hidden", "-rf", "a/b", "../a", "/etc/passwd", "a\\b", "a\nb", "a\tb", "a b", "ä", "a" * 101),
        *("\u202egnp.exe", "a\x7f", "C:", "a*", "a\n", "NUL", "con.txt", "Com7.tar.gz", "model."),
    ],
)
def test_a_hostile_name_is_refused(db, connection, name):
    make_study(db)
    said = "the name: (use 1 to 100 letters|Windows allows no file with this name)"
    with pytest.raises(InvalidParameterValue, match=said) as refused:
        begin(connection, take(connection), name, b"x")
    assert len(str(refused.value.diag.message_primary)) < 400
    assert saved(db) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, "the name"),
        ({"sha256": None}, "the SHA-256"),
        ({"sha256": "X" * 64}, "the SHA-256"),
        ({"sha256": "0" * 63}, "the SHA-256"),
        ({"size": None}, "the size"),
        ({"size": -1}, "the size"),
        ({"size": LARGEST_KEPT_ARTIFACT + 1}, "the ledger itself keeps at most"),
        ({"size": 2**63 - 1, "store": STORE}, "bytes are not allowed"),
        ({"store": ""}, "the store"),
        ({"store": "s3://a\nb"}, "the store"),
        ({"store": "s3://" + "b" * 300}, "the store"),
    ],
)
def test_a_malformed_artifact_is_refused(db, connection, change, said):
    make_study(db)
    values = {"name": "a", "sha256": "0" * 64, "size": 1, "store": None, **change}
    with pytest.raises(InvalidParameterValue, match=said):
        artifact_protocol.begin(connection, take(connection), **values)


@pytest.mark.parametrize(
    ("number", "piece"), [(0, b""), (0, b"xx"), (1, b"x"), (-1, b"x"), (None, b"x"), (0, None), (2**31 - 1, b"x")]
)
def test_a_piece_that_does_not_fit_is_refused(db, connection, number, piece):
    make_study(db)
    held = take(connection)
    begin(connection, held, "a", b"x")
    with pytest.raises(InvalidParameterValue, match="do not fit into the size"):
        artifact_protocol.add_piece(connection, held, "a", number, piece)


def test_an_attempt_has_a_bounded_number_of_artifacts(db, connection):
    make_study(db)
    held = take(connection)
    for number in range(MOST_ARTIFACTS):
        begin(connection, held, f"a{number}", b"x")
    with pytest.raises(InvalidParameterValue, match="already has 100 artifacts"):
        begin(connection, held, "more", b"x")
    assert save(connection, held, "a7", b"x") == "saved"


def test_equal_artifacts_share_a_content_until_the_last_is_removed(db, connection):
    row = make_study(db)
    first, second = take(connection), take(connection)
    assert save(connection, first, "a", DATA) == "saved"
    assert begin(connection, second, "b", DATA)[0] == "stored"
    assert save_begun(connection, second, "b") == "saved"
    assert count(connection, "artifact_content") == 1
    one, other = saved(db)
    assert artifacts.remove(db, row.id, one) == "removed"
    assert artifacts.remove(db, row.id, one) == "already"
    assert read(db, other) == DATA
    assert artifacts.remove(db, row.id, other) == "removed"
    assert count(connection, "artifact_content") == count(connection, "artifact_piece") == 0
    assert all(each.removed_at and each.content is None and each.sha256 == sha256(DATA) for each in saved(db))
    assert artifacts.remove(db, row.id, replace(one, name="c")) == "unknown"


def test_equal_artifacts_in_a_store_have_contents_of_their_own(db, connection):
    """The ledger cannot check what a worker has written into a store."""
    make_study(db)
    first, second = take(connection), take(connection)
    save(connection, first, "a", DATA, STORE)
    assert begin(connection, second, "a", DATA, STORE)[0] == "wanted"


def test_a_name_that_is_begun_again_keeps_one_unfinished_content(db, connection):
    make_study(db)
    held = take(connection)
    for data in (DATA, b"x", DATA + b"x"):
        begin(connection, held, "a", data)
        upload(connection, held, "a", data)
    assert count(connection, "artifact_content") == 1
    assert save_begun(connection, held, "a") == "saved"
    assert read(db, saved(db)[0]) == DATA + b"x"


def test_a_removed_artifact_can_be_saved_again(db, connection):
    row = make_study(db)
    held = take(connection)
    save(connection, held, "a", b"x")
    artifacts.remove(db, row.id, saved(db)[0])
    assert save_begun(connection, held, "a") == "unbegun"
    assert save(connection, held, "a", b"x") == "saved"
    assert read(db, saved(db)[0]) == b"x"


def test_a_content_in_a_store_is_forgotten_after_its_deletion(db, connection):
    row = make_study(db)
    held = take(connection)
    answer, content = begin(connection, held, "a", b"x", STORE)
    assert answer == "wanted"
    assert artifacts.discard(db) == [], "the worker still writes the content"
    assert save_begun(connection, held, "a") == "saved"
    (artifact,) = saved(db)
    assert (artifact.content, artifact.store) == (content, STORE)
    artifacts.remove(db, row.id, artifact)
    (discarded,) = artifacts.discard(db)
    assert (discarded.id, discarded.sha256, discarded.size, discarded.store) == (content, sha256(b"x"), 1, STORE)
    again, other = begin(connection, held, "a", b"x", STORE)
    assert again == "wanted", "no artifact refers to a discarded content"
    assert other != content
    artifacts.forget(db, discarded.id)
    assert artifacts.discard(db) == []


def test_what_a_dead_worker_began_is_discarded(db, connection):
    row = make_study(db)
    dead, alive = take(connection), take(connection)
    save(connection, dead, "kept", b"kept")
    for held in (dead, alive):
        begin(connection, held, "half", DATA)
        upload(connection, held, "half", DATA)
        begin(connection, held, "kept", b"other", STORE)
    protocol.release(connection, dead)
    (discarded,) = artifacts.discard(db)
    assert discarded.store == STORE
    assert save_begun(connection, alive, "half") == "saved"
    assert save_begun(connection, alive, "kept") == "saved"
    assert [(each.trial, each.name) for each in saved(db)] == [
        (dead.trial, "kept"),
        (alive.trial, "half"),
        (alive.trial, "kept"),
    ]
    assert count(connection, "artifact") == 3
    assert row.id == studies.get(db, "s").id


def test_a_deleted_study_takes_its_contents_along(db, connection):
    row = make_study(db)
    other = make_study(db, "other")
    mine, theirs = take(connection), take(connection, "other")
    for name, data in (("a", DATA), ("b", b"mine")):
        save(connection, mine, name, data)
    save(connection, mine, "c", b"far", STORE)
    save(connection, theirs, "a", DATA)
    assert studies.delete(db, row) == "deleted"
    (left,) = artifacts.of_study(db, other.id)
    assert read(db, left) == DATA
    assert count(connection, "artifact") == 1
    (discarded,) = artifacts.discard(db)
    assert discarded.store == STORE
    assert count(connection, "artifact_content") == 2


def test_an_open_transaction_of_a_worker_stops_no_other_worker(url, db, connection):
    row = make_study(db)
    first, second = take(connection), take(connection)
    save(connection, first, "a", DATA)
    with psycopg.connect(url) as idle:
        assert begin(idle, first, "b", DATA)[0] == "stored"
        # the content is locked, so no removal waits, and the content stays
        assert artifacts.remove(db, row.id, saved(db)[0]) == "removed"
        assert begin(connection, second, "a", DATA)[0] == "stored"
        idle.commit()
    assert save_begun(connection, first, "b") == "saved"
    assert [read(db, each) for each in saved(db) if each.removed_at is None] == [DATA]


def test_a_removal_that_waits_too_long_gives_up(url, db, connection):
    row = make_study(db)
    held = take(connection)
    save(connection, held, "a", b"x")
    (artifact,) = saved(db)
    with psycopg.connect(url) as idle:
        begin(idle, held, "a", b"y")
        with pytest.raises(LedgerError, match="artifact a of trial 0"):
            artifacts.remove(db, row.id, artifact)


def test_a_writer_and_a_removal_at_once_leave_no_dangling_artifact(url, db, connection):
    """The removal holds its locks while a worker begins to save the same bytes."""
    make_study(db)
    first, second = take(connection), take(connection)
    save(connection, first, "a", DATA)
    with psycopg.connect(url) as removing:
        removing.execute("select ledger.remove_artifact(%s, %s, 1, 'a')", (first.study_id, first.trial))
        answer, content = begin(connection, second, "a", DATA)
        assert answer == "wanted"
        removing.commit()
    upload(connection, second, "a", DATA)
    assert save_begun(connection, second, "a") == "saved"
    (row,) = [each for each in saved(db) if each.removed_at is None]
    assert row.content == content
    assert read(db, row) == DATA


def test_an_artifact_does_not_change_after_its_attempt(db, connection):
    row = make_study(db)
    held = take(connection)
    save(connection, held, "a", b"x")
    assert protocol.complete(connection, held, 0.5, {}, 1.0) == "recorded"
    for statement in (
        "update ledger.artifact set name = 'b'",
        "update ledger.artifact set sha256 = repeat('0', 64)",
        "update ledger.artifact set saved_at = saved_at - interval '1 day'",
        "update ledger.artifact set size = 2",
        "update ledger.artifact set store = 's3://b'",
        "update ledger.artifact_content set sha256 = repeat('0', 64)",
        "update ledger.artifact_content set stored_at = now()",
        "update ledger.artifact_piece set bytes = 'y'",
        "delete from ledger.artifact_piece",
        "delete from ledger.artifact",
        "truncate ledger.artifact",
        "truncate ledger.artifact_piece",
        "truncate ledger.artifact_content cascade",
    ):
        with pytest.raises(RestrictViolation):
            connection.execute(statement)
    with pytest.raises(IntegrityError):
        connection.execute("delete from ledger.artifact_content")
    (artifact,) = saved(db)
    assert read(db, artifact) == b"x"
    assert artifacts.remove(db, row.id, artifact) == "removed"


def finish_with(connection: psycopg.Connection[Any], held: ClaimedTrial, loss: float) -> None:
    assert save(connection, held, "model.bin", f"model {held.trial}".encode()) == "saved"
    assert protocol.complete(connection, held, loss, {}, 1.0) == "recorded"


def present(db: Connection) -> list[int]:
    return [row.trial for row in saved(db) if row.removed_at is None]


@pytest.mark.parametrize(("kept", "left"), [(1, [1]), (2, [1, 3]), (3, [0, 1, 3]), (9, [0, 1, 2, 3])])
def test_the_best_trials_keep_their_artifacts(db, connection, kept, left):
    """Trials 1 and 3 have the same loss, so trial 1 is better."""
    row = make_study(db)
    for loss in (0.5, 0.25, 0.75, 0.25):
        finish_with(connection, take(connection), loss)
    assert artifacts.remove_beaten(db, row.id, kept) == 4 - len(left)
    assert artifacts.remove_beaten(db, row.id, kept) == 0
    assert present(db) == left
    assert count(connection, "artifact_content") == len(left)


def test_a_beaten_trial_is_one_that_has_ended(db, connection):
    """Failed and cancelled trials leave nothing; running trials and released trials lose nothing."""
    row = make_study(db, trials=5, max_failures=1)
    best, failed, cancelled, running, released = (take(connection) for _ in range(5))
    for held in (failed, cancelled, running, released):
        assert save(connection, held, "model.bin", b"shared") == "saved"
        begin(connection, held, "half.bin", DATA)
    finish_with(connection, best, 0.5)
    protocol.fail(connection, failed, "it broke", 1.0)
    trials.cancel(db, row.id, [cancelled.trial], "enough")
    protocol.release(connection, released)
    assert artifacts.remove_beaten(db, row.id, 1) == 2
    assert present(db) == [best.trial, running.trial, released.trial]
    upload(connection, running, "half.bin", DATA)
    assert save_begun(connection, running, "half.bin") == "saved"
    assert read(db, next(each for each in saved(db) if each.name == "half.bin")) == DATA


def test_a_best_trial_without_artifacts_takes_none_from_the_next(db, connection):
    row = make_study(db)
    best = take(connection)
    assert protocol.complete(connection, best, 0.1, {}, 1.0) == "recorded"
    for loss in (0.5, 0.7):
        finish_with(connection, take(connection), loss)
    artifacts.remove_beaten(db, row.id, 1)
    assert present(db) == [1]


def test_beaten_artifacts_are_removed_in_several_calls(db, connection):
    row = make_study(db)
    first = take(connection)
    for number in range(MOST_ARTIFACTS):
        assert save(connection, first, f"a{number}", b"x") == "saved"
    assert protocol.complete(connection, first, 0.5, {}, 1.0) == "recorded"
    finish_with(connection, take(connection), 0.25)
    one_call = connection.execute("select ledger.remove_beaten_artifacts(%s, 1)", (row.id,)).fetchone()
    assert one_call == (50,)
    assert artifacts.remove_beaten(db, row.id, 1) == MOST_ARTIFACTS - 50
    assert present(db) == [1]


def test_a_locked_artifact_of_a_beaten_trial_waits_for_the_next_call(url, db, connection):
    row = make_study(db)
    for loss in (0.5, 0.25):
        finish_with(connection, take(connection), loss)
    with psycopg.connect(url) as idle:
        idle.execute("select from ledger.artifact where trial = 0 for update")
        assert artifacts.remove_beaten(db, row.id, 1) == 0
    assert artifacts.remove_beaten(db, row.id, 1) == 1


def test_the_number_of_kept_trials_is_at_least_one(db):
    row = make_study(db)
    with pytest.raises(DBAPIError, match="must be at least 1"):
        artifacts.remove_beaten(db, row.id, 0)


def test_an_old_snapshot_discards_nothing(url, db, connection):
    row = make_study(db)
    held = take(connection)
    save(connection, held, "a", b"x")
    with psycopg.connect(url) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("select ledger.remove_artifact(%s, %s, 1, 'a')", (row.id, held.trial))
        other.commit()
    assert count(connection, "artifact_content") == 1
    artifacts.discard(db)
    assert count(connection, "artifact_content") == 0


def test_the_listing_reads_page_after_page(db, connection, monkeypatch):
    make_study(db)
    for number in range(3):
        held = take(connection)
        for name in "ab":
            save(connection, held, name, bytes([number]))
    everything = saved(db)
    assert [(row.trial, row.name) for row in everything] == [(n, name) for n in range(3) for name in "ab"]
    monkeypatch.setattr(artifacts, "PAGE", 2)
    assert saved(db) == everything
    assert [row.trial for row in artifacts.of_study(db, studies.get(db, "s").id, trial=1)] == [1, 1]


def test_a_locked_content_is_forgotten_later(url, db, connection):
    row = make_study(db)
    held = take(connection)
    save(connection, held, "a", b"x", STORE)
    artifacts.remove(db, row.id, saved(db)[0])
    (discarded,) = artifacts.discard(db)
    with psycopg.connect(url) as idle:
        idle.execute("select from ledger.artifact_content for update")
        with pytest.raises((LedgerError, LockNotAvailable)):
            artifacts.forget(db, discarded.id)
    artifacts.forget(db, discarded.id)
    assert artifacts.discard(db) == []


def test_a_manager_deletes_replaced_contents_from_its_store_alone(db, connection, tmp_path):
    row = make_study(db)
    held = take(connection)
    store = opened((tmp_path / "mine").as_uri())
    for data, url in ((b"first", store.url), (b"far", STORE), (b"last", store.url)):
        answer, content = begin(connection, held, "best.bin", data, url)
        assert answer == "wanted"
        assert content is not None
        if url == store.url:
            store.put(Content(sha256(data), len(data), content), io.BytesIO(data))
        assert save_begun(connection, held, "best.bin") == "saved"
    ArtifactCleaner(db, row, None, store.url).finish()
    assert [path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()] == [b"last"]
    assert [content.store for content in artifacts.discarded(db)] == [STORE]


def test_a_store_that_fails_stops_no_manager(db, connection, caplog):
    row = make_study(db)
    held = take(connection)
    save(connection, held, "a", b"x", "nothing://bucket")
    artifacts.remove(db, row.id, saved(db)[0])
    ArtifactCleaner(db, row, None, "nothing://bucket").finish()
    said = "the content of a removed artifact is still in its store: the store nothing://bucket cannot be opened"
    assert said in caplog.text
    assert len(list(artifacts.discarded(db))) == 1


def test_a_sweep_finds_contents_in_a_moved_folder(db, connection, tmp_path):
    row = make_study(db)
    held = take(connection)
    old, new = ((tmp_path / name).as_uri() for name in ("old", "new"))
    answer, content = begin(connection, held, "a", b"x", old)
    assert answer == "wanted"
    assert content is not None
    opened(old).put(Content(sha256(b"x"), 1, content), io.BytesIO(b"x"))
    assert save_begun(connection, held, "a") == "saved"
    save(connection, held, "b", b"y", STORE)
    (tmp_path / "old").rename(tmp_path / "new")
    for artifact in saved(db):
        artifacts.remove(db, row.id, artifact)
    left = use_cases.sweep(db, Settings(store=new))
    assert [(each.content.store, each.reason) for each in left] == [(STORE, None)]
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_file()] == []
    assert use_cases.waiting(left).startswith(
        f"1 content of a removed artifact is still in {STORE}: run `ledger artifact"
    )
    assert use_cases.forget_store(db, STORE) == 1
    assert use_cases.sweep(db, Settings(store=new)) == []


@pytest.mark.parametrize(
    ("recorded", "given"),
    [("memory://a", "memory://a"), ("s3://b//a", "s3://b//a"), ("s3://b/a", "S3://b//a/"), ("file:///a", "/x/../a")],
)
def test_a_lost_store_is_forgotten_by_each_of_its_urls(url, db, connection, run, monkeypatch, recorded, given):
    monkeypatch.setenv("DATABASE_URL", url)
    row = make_study(db)
    save(connection, take(connection), "a", b"x", recorded)
    artifacts.remove(db, row.id, saved(db)[0])
    assert run("artifact", "sweep", "--forget", "s3://b?x")[::2] == (
        2,
        'ledger: --forget "s3://b?x": a URL with ? or # is not allowed: write s3://bucket/folder\n',
    )
    assert run("artifact", "sweep", "--forget", given) == (0, f"1 content of {recorded} forgotten\n", "")


@pytest.mark.parametrize("of", ["rows", "beaten trials"])
def test_a_removal_deletes_its_own_contents_and_names_what_is_left(db, connection, tmp_path, of):
    row = make_study(db)
    held = take(connection)
    store = opened((tmp_path / "mine").as_uri())
    save(connection, held, "earlier", b"w", STORE)
    artifacts.remove(db, row.id, saved(db)[0])
    for name, url in (("here", store.url), ("far", STORE), ("kept", store.url)):
        answer, content = begin(connection, held, name, name.encode(), url)
        assert answer == "wanted"
        assert content is not None
        if url == store.url:
            store.put(Content(sha256(name.encode()), len(name), content), io.BytesIO(name.encode()))
        assert save_begun(connection, held, name) == "saved"
    settings = Settings(store=store.url)
    if of == "rows":
        rows = [artifact for artifact in saved(db) if artifact.name != "kept"]
        removal = use_cases.remove(db, settings, row.id, rows)
    else:
        trials.cancel(db, row.id, [held.trial], "enough")
        removal = use_cases.remove_beaten(db, settings, row.id, 1)
    assert removal.removed == (2 if of == "rows" else 3)
    (far,) = removal.left
    assert (far.content.sha256, far.content.store, far.reason) == (sha256(b"far"), STORE, None)
    files = [path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()]
    assert files == ([b"kept"] if of == "rows" else [])
    assert {content.sha256 for content in artifacts.discarded(db)} == {sha256(b"w"), sha256(b"far")}


def test_a_call_deletes_few_bytes_of_the_ledger_itself(db, connection):
    """The call ends within the time limit of a statement, and its caller repeats the call."""
    row = make_study(db)
    held = take(connection)
    for name in "abc":
        save(connection, held, name, name.encode())
    connection.execute("alter table ledger.artifact disable trigger user")
    connection.execute("alter table ledger.artifact_content disable trigger user")
    connection.execute("update ledger.artifact set size = 200000000")
    connection.execute("update ledger.artifact_content set size = 200000000")
    connection.execute("alter table ledger.artifact enable always trigger artifacts_do_not_change")
    connection.execute("alter table ledger.artifact_content enable always trigger contents_do_not_change")
    assert protocol.fail(connection, held, "no", 1.0) in ("failed", "retry")
    trials.cancel(db, row.id, [held.trial], "enough")
    assert [artifacts.remove_some_beaten(db, row.id, 1) for _ in range(3)] == [2, 1, 0]
    assert count(connection, "artifact_content") == 0
