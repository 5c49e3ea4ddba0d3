"""Stores of artifacts: a folder, and a URL of fsspec."""

import hashlib
import io
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from ledger.errors import UsageError
from ledger.settings import Settings
from ledger.store import (
    Content,
    ContentDamagedError,
    ContentMissingError,
    Store,
    StoreError,
    checked,
    chosen,
    normalized,
    opened,
)

DATA = b"weights" * 400_000


def content_of(data: bytes) -> Content:
    return Content(hashlib.sha256(data).hexdigest(), len(data), uuid.uuid4())


def read(store: Store, content: Content) -> bytes:
    return b"".join(checked(content, store.pieces(content)))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of an empty bucket, on a server of this process that speaks the protocol of S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    server.stop()


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "folder":
        yield opened((tmp_path / "artifacts").as_uri())
    elif request.param == "s3":
        yield opened(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")
    else:
        yield opened(f"memory://{tmp_path.name}")
        fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one byte", "several pieces"])
def test_a_store_returns_what_it_keeps(store, data):
    content = content_of(data)
    store.put(content, io.BytesIO(data))
    assert read(store, content) == data


def test_a_removed_content_is_missing_and_can_be_removed_again(store):
    content = content_of(DATA)
    store.put(content, io.BytesIO(DATA))
    assert store.remove(content)
    assert not store.remove(content)
    with pytest.raises(ContentMissingError, match=f"has no file {content.path}"):
        read(store, content)


def test_the_removal_of_a_content_leaves_an_equal_content(store):
    first, second = content_of(DATA), content_of(DATA)
    store.put(first, io.BytesIO(DATA))
    store.put(second, io.BytesIO(DATA))
    store.remove(first)
    assert read(store, second) == DATA


def test_a_repeated_put_replaces_the_same_content(store):
    content = content_of(DATA)
    for _ in range(2):
        store.put(content, io.BytesIO(DATA))
    assert read(store, content) == DATA


@pytest.mark.parametrize("damaged", [DATA[:-1], DATA + b"x", DATA[:-1] + b"X"], ids=["short", "long", "changed"])
def test_damaged_bytes_are_refused(store, damaged):
    content = content_of(DATA)
    store.put(content, io.BytesIO(damaged))
    with pytest.raises(ContentDamagedError):
        read(store, content)


class Failing(io.BytesIO):
    """A file that fails after its first piece, as a full disk does."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise OSError(28, "No space left on device")
        return super().read(size)


def test_a_put_that_fails_leaves_nothing_and_says_why(store):
    content = content_of(DATA)
    with pytest.raises(StoreError, match=r"the store \S+ cannot keep the content: .*No space left on device"):
        store.put(content, Failing(DATA))
    with pytest.raises(ContentMissingError):
        read(store, content)


def test_a_folder_keeps_no_half_written_file(tmp_path):
    store = opened((tmp_path / "artifacts").as_uri())
    content = content_of(DATA)
    with pytest.raises(StoreError):
        store.put(content, Failing(DATA))
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []


def test_a_put_creates_no_bucket_and_no_remote_folder(tmp_path):
    # In fsspec, `local` is another name of the file system of the machine.
    store = opened(f"local://{tmp_path}/missing")
    with pytest.raises(StoreError, match=f"the store local://{tmp_path}/missing cannot keep the content: FileNotFound"):
        store.put(content_of(DATA), io.BytesIO(DATA))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "missing").mkdir()
    content = content_of(DATA)
    store.put(content, io.BytesIO(DATA))
    assert read(store, content) == DATA


def test_a_put_into_a_missing_bucket_says_so(bucket):
    store = opened(f"{bucket}-that-is-missing/artifacts")
    with pytest.raises(
        StoreError, match="the store s3://bucket-that-is-missing/artifacts cannot keep the content: .*bucket"
    ):
        store.put(content_of(DATA), io.BytesIO(DATA))


def test_what_a_killed_writer_left_goes_with_the_content(tmp_path):
    store = opened((tmp_path / "artifacts").as_uri())
    content = content_of(DATA)
    half = tmp_path / "artifacts" / content.path
    half = half.with_name(f".{half.name}")
    half.parent.mkdir(parents=True)
    half.write_bytes(DATA[:100])
    with pytest.raises(ContentMissingError):
        read(store, content)
    store.remove(content)
    assert not half.exists()


@pytest.mark.parametrize("other", [None, (), ("NOT_MOUNTED",)], ids=["absent", "empty", "note"])
def test_a_folder_that_is_not_mounted_is_not_without_the_content(tmp_path, other):
    folder = tmp_path / "artifacts"
    store, content = opened(folder.as_uri()), content_of(DATA)
    store.put(content, io.BytesIO(DATA))
    folder.rename(tmp_path / "moved")
    if other is not None:
        folder.mkdir()
        for name in other:
            (folder / name).touch()
    for use in (store.remove, lambda content: read(store, content)):
        with pytest.raises(StoreError, match="is missing or has no contents: mount the folder") as failed:
            use(content)
        assert not isinstance(failed.value, ContentMissingError)
    if other is not None:
        shutil.rmtree(folder)
    (tmp_path / "moved").rename(folder)
    assert read(store, content) == DATA
    assert store.remove(content)


def test_all_users_of_a_shared_folder_can_write_into_its_subfolders(tmp_path):
    folder = tmp_path / "artifacts"
    folder.mkdir()
    folder.chmod(0o2770)
    content = content_of(DATA)
    opened(folder.as_uri()).put(content, io.BytesIO(DATA))
    assert stat.S_IMODE((folder / content.path).parent.stat().st_mode) == 0o2770


@pytest.mark.parametrize("store", ["file://localhost/data/my files/", "file:///data//my%20files", "/data/my files"])
def test_a_folder_has_one_url(store):
    assert normalized(store) == "file:///data/my%20files"


def test_a_folder_that_cannot_be_looked_at_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="cannot be opened: File name too long"):
        opened((tmp_path / ("x" * 300) / "artifacts").as_uri())


def test_the_root_folder_is_a_store():
    assert normalized("file:///") == normalized("/") == "file:///"


def test_a_new_folder_belongs_to_its_user_alone(tmp_path):
    folder = tmp_path / "artifacts"
    store = opened(folder.as_uri())
    assert not folder.exists(), "opening a store writes nothing"
    store.put(content_of(b""), io.BytesIO())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_no_link_leads_out_of_a_folder(tmp_path):
    store = opened((tmp_path / "artifacts").as_uri())
    content = content_of(DATA)
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    target = tmp_path / "artifacts" / content.path
    target.parent.mkdir(parents=True)
    target.symlink_to(victim)
    target.with_name(f".{target.name}").symlink_to(victim)
    with pytest.raises(StoreError):
        read(store, content)
    store.put(content, io.BytesIO(DATA))
    assert read(store, content) == DATA
    assert victim.read_bytes() == b"untouched"


def test_a_named_pipe_in_a_folder_stops_no_reader(tmp_path):
    store = opened((tmp_path / "artifacts").as_uri())
    content = content_of(DATA)
    target = tmp_path / "artifacts" / content.path
    target.parent.mkdir(parents=True)
    os.mkfifo(target)
    with pytest.raises(ContentMissingError):
        read(store, content)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "file:///nowhere/at/all",
            "^the parent folder of the store file:///nowhere/at/all does not exist: create or mount",
        ),
        (Path(__file__).as_uri(), "is not a folder: choose a folder"),
        (
            "nothing://bucket",
            "cannot be opened: Protocol not known: nothing: give a folder, or a URL that fsspec",
        ),
    ],
)
def test_a_store_that_cannot_be_opened_is_wrong_usage(url, said):
    with pytest.raises(UsageError, match=said):
        opened(url)


@pytest.mark.parametrize(
    "store",
    [
        *("", "two\nlines", "simplecache::s3://bucket", "s3://key:secret@bucket", "s3://key@bucket", "s3://b?x=1"),
        *("s3://b#x", "file://host/a", "file://a", "http://[", "s3://" + "b" * 300),
        *("memory://a", "MEMORY://a", "https://host/a", "data://a"),
    ],
)
def test_a_malformed_store_is_wrong_usage(store):
    with pytest.raises(UsageError, match="--store") as refused:
        normalized(store)
    assert "secret" not in str(refused.value)


def test_a_path_is_the_url_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert normalized("a b") == (tmp_path / "a b").as_uri()
    assert normalized(f"local://{tmp_path}/a b") == normalized("a b")
    assert normalized("other/../a b/") == normalized(f"FILE://{tmp_path}/./a b") == normalized("a b")
    assert normalized("S3://bucket//a/") == normalized("s3://bucket/a") == "s3://bucket/a"
    store: Any = opened(normalized("a b") or "")
    store.put(content_of(b"x"), io.BytesIO(b"x"))
    assert (tmp_path / "a b").is_dir()


def test_an_embedded_server_has_a_folder_and_other_databases_keep_contents(tmp_path):
    assert chosen(Settings(home=tmp_path)) == (tmp_path / "artifacts").resolve().as_uri()
    assert chosen(Settings("postgresql://db/ledger", tmp_path)) is None
    assert chosen(Settings(home=tmp_path, store="ledger")) is None
    assert chosen(Settings("postgresql://db/ledger", tmp_path, store="s3://bucket/a/")) == "s3://bucket/a"
