"""Verification of the contents of artifacts and checkpoints."""

import io
import os
from typing import Any

import pytest

from ledger import artifacts, content_verification
from ledger.content_verification import VerifiedContents
from ledger.database import artifact_protocol
from ledger.database import artifacts as recorded
from ledger.database.protocol import ClaimedTrial
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.store import Content, ContentMissingError, StoreError, opened
from ledger.worker.artifact_messages import CheckpointAnnouncement
from tests.integration.ledgers import make_study, take
from tests.integration.test_artifacts import DATA, begin, save, saved, sha256

CHECKPOINT = CheckpointAnnouncement(0, 4, 0).name
TITLES = {"model.bin": "artifact model.bin of attempt 1", CHECKPOINT: "checkpoint of step 4 of attempt 1"}


@pytest.fixture
def verify(url, db):
    def verify(store: str | None = None) -> VerifiedContents:
        return content_verification.verify(db, Settings(database_url=url, store=store), 1, "s")

    return verify


def keep_in(folder: Any, connection: Any, held: ClaimedTrial, name: str, data: bytes) -> Any:
    """Save a content in the store of a folder, and return the path of its file."""
    store = opened(folder.as_uri())
    _, content = begin(connection, held, name, data, store.url)
    assert content is not None
    stored = Content(sha256(data), len(data), content)
    store.put(stored, io.BytesIO(data))
    assert artifact_protocol.save(connection, held, name, content) == "saved"
    return folder / stored.path


@pytest.mark.parametrize("name", TITLES)
def test_a_damaged_content_of_the_ledger_is_named(db, connection, verify, name):
    make_study(db)
    save(connection, take(connection), "other.bin", b"other")
    save(connection, take(connection), name, DATA)
    assert verify() == VerifiedContents(2, {})
    with connection.transaction():
        connection.execute("alter table ledger.artifact_piece disable trigger user")
        connection.execute("update ledger.artifact_piece set bytes = set_byte(bytes, 7, 0) where number = 1")
    with pytest.raises(LedgerError, match=rf"^study s, trial 1: {TITLES[name]}: the content is damaged, .*: restore"):
        verify()


@pytest.mark.parametrize("name", TITLES)
@pytest.mark.parametrize(
    ("damage", "fault"),
    [(lambda file: file.write_bytes(b"x"), "is damaged, .*"), (lambda file: file.unlink(), "no file .*")],
)
def test_a_damaged_or_missing_content_of_a_store_is_named(db, connection, verify, tmp_path, name, damage, fault):
    make_study(db)
    file = keep_in(tmp_path, connection, take(connection), name, b"data")
    assert verify(tmp_path.as_uri()) == VerifiedContents(1, {})
    damage(file)
    with pytest.raises(LedgerError, match=rf"^study s, trial 0: {TITLES[name]}: .*{fault}: restore the"):
        verify(tmp_path.as_uri())


def test_the_contents_of_another_store_are_counted(db, connection, verify, tmp_path):
    make_study(db)
    held = take(connection)
    keep_in(tmp_path, connection, held, "model.bin", b"data").unlink()
    save(connection, held, "log.txt", b"log")
    assert verify() == VerifiedContents(1, {tmp_path.as_uri(): 1})


def test_the_contents_of_a_moved_store_are_read(db, connection, verify, tmp_path):
    make_study(db)
    (tmp_path / "old").mkdir()
    file = keep_in(tmp_path / "old", connection, take(connection), "model.bin", b"data")
    old, new = tmp_path / "old", tmp_path / "new"
    old.rename(new)
    assert verify(new.as_uri()) == VerifiedContents(1, {})
    # a machine that does not have the store at all
    assert verify((tmp_path / "none").as_uri()) == VerifiedContents(0, {old.as_uri(): 1})
    (new / file.relative_to(old)).write_bytes(b"evil")
    with pytest.raises(
        LedgerError, match="^study s, trial 0: artifact model.bin of attempt 1: the content is damaged,"
    ):
        verify(new.as_uri())


@pytest.mark.parametrize("is_moved", [False, True], ids=["here", "moved"])
@pytest.mark.parametrize("damage", [lambda file: file.mkdir(), lambda file: file.symlink_to("/etc/hosts")])
def test_a_content_that_cannot_be_read_is_a_difference(db, connection, verify, tmp_path, damage, is_moved):
    make_study(db)
    folder = tmp_path / "store"
    folder.mkdir()
    file = keep_in(folder, connection, take(connection), "model.bin", b"data")
    file.unlink()
    damage(file)
    if is_moved:
        folder = folder.rename(tmp_path / "new")
    with pytest.raises(LedgerError, match=f"^study s, trial 0: artifact model.bin of .*: .*{file.name}") as failed:
        verify(folder.as_uri())
    assert not isinstance(failed.value, StoreError)


def test_a_store_that_cannot_be_read_is_no_difference(db, connection, verify, tmp_path, monkeypatch):
    make_study(db)
    folder, away = tmp_path / "store", tmp_path / "away"
    folder.mkdir()
    keep_in(folder, connection, take(connection), "model.bin", b"data")
    folder.rename(away)
    with pytest.raises(StoreError, match="is missing or has no contents: mount the folder") as failed:
        verify(folder.as_uri())
    assert not isinstance(failed.value, ContentMissingError)
    folder.mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StoreError, match=r"^study s, trial 0: .* cannot find the content .*: Permission denied"):
        verify(folder.as_uri())


def refuse(*_: Any) -> Any:
    raise PermissionError(13, "Permission denied")


def test_an_artifact_that_is_removed_meanwhile_is_no_difference(db, connection, verify, monkeypatch):
    row = make_study(db)
    save(connection, take(connection), "model.bin", b"data")
    read = artifacts.checked_pieces

    def remove_first(*arguments: Any) -> Any:
        recorded.remove(db, row.id, saved(db)[0])
        return read(*arguments)

    monkeypatch.setattr(artifacts, "checked_pieces", remove_first)
    assert verify() == VerifiedContents(0, {})
