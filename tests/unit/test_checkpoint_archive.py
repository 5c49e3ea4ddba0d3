"""The archive of a checkpoint: what it keeps, and hostile archives, which write nothing outside of their folder."""

import io
import os
import stat
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerError
from ledger.objectives import checkpoint_archive
from ledger.objectives.checkpoint_archive import ArchiveError, pack, unpack

FILES = {"weights.npy": b"\0\1" * 700_000, "empty": b"", "deep/er/ö 1.txt": b"x", f"{'long' * 50}/{'name' * 50}": b"y"}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def packed(folder: Path) -> io.BytesIO:
    archive = io.BytesIO()
    pack(folder, archive)
    return archive


def test_an_unpacked_folder_equals_the_packed_folder(tmp_path):
    source = write(tmp_path / "source", FILES)
    (source / "no files" / "here").mkdir(parents=True)
    (target := tmp_path / "target").mkdir()
    unpack(packed(source), target)
    assert read(target) == FILES
    assert (target / "no files" / "here").is_dir()


def test_equal_folders_make_equal_archives(tmp_path):
    one, other = (write(tmp_path / name, FILES) for name in ("one", "other"))
    os.utime(other / "empty", (1.0, 1.0))
    (other / "empty").chmod(0o400)
    assert packed(one).getvalue() == packed(other).getvalue()


def test_an_empty_folder_is_a_checkpoint(tmp_path):
    (tmp_path / "empty").mkdir()
    (target := tmp_path / "target").mkdir()
    unpack(packed(tmp_path / "empty"), target)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("kind", ["link out", "link within", "link to a folder", "pipe"])
def test_links_and_special_files_are_not_kept(tmp_path, kind):
    source = write(tmp_path / "source", {"a/b": b"x"})
    if kind == "pipe":
        os.mkfifo(source / "a" / "odd")
    else:
        target = {"link out": "/etc/passwd", "link within": "b", "link to a folder": ".."}[kind]
        (source / "a" / "odd").symlink_to(target)
    with pytest.raises(
        LedgerError, match="^checkpoint: a/odd is a link or a special file: write a copy into the folder"
    ):
        packed(source)


def test_hard_links_are_kept_as_files(tmp_path):
    source = write(tmp_path / "source", {"a": b"x"})
    os.link(source / "a", source / "b")
    (target := tmp_path / "target").mkdir()
    unpack(packed(source), target)
    assert read(target) == {"a": b"x", "b": b"x"}


def test_a_name_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / os.fsdecode(b"\xff")).touch()
    with pytest.raises(LedgerError, match=r"^checkpoint: the name \\udcff is not valid UTF-8"):
        packed(tmp_path / "source")


def test_the_number_of_files_is_bounded(tmp_path, monkeypatch):
    source = write(tmp_path / "source", {"a": b"", "b": b"", "c": b""})
    archive = packed(source)
    monkeypatch.setattr(checkpoint_archive, "MOST_ENTRIES", 2)
    with pytest.raises(LedgerError, match="more than 2 files and folders"):
        packed(source)
    with pytest.raises(ArchiveError, match="too many entries"):
        unpack(archive, tmp_path)


def entry(name: str, mode: int = stat.S_IFREG | 0o600, compression: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    info.compress_type = compression
    return info


def archive_of(*entries: zipfile.ZipInfo, content: bytes = b"x") -> io.BytesIO:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for each in entries:
            target.writestr(each, content)
    return archive


def overlapping() -> io.BytesIO:
    """An archive of two entries that share their bytes."""
    archive = archive_of(entry("aaaa"), entry("bbbb"), content=bytes(10_000))
    with zipfile.ZipFile(archive, "a") as target:
        target.filelist[1].header_offset = 0
        target.filelist[1].filename = target.filelist[1].orig_filename = "aaaa"
        target.filelist += [target.filelist[0]] * 20
        target._didModify = True  # type: ignore[attr-defined]
    return archive


@pytest.mark.parametrize(
    "make",
    [
        *(lambda name=name: archive_of(entry(name)) for name in ("../a", "a/../../b", "/a", "a//b", "./a", "..", "")),
        lambda: archive_of(entry("../a/", stat.S_IFDIR | 0o700), content=b""),
        lambda: archive_of(entry("link", stat.S_IFLNK | 0o777), content=b"/etc"),
        lambda: archive_of(entry("device", stat.S_IFCHR | 0o600)),
        lambda: archive_of(entry("bomb", compression=zipfile.ZIP_DEFLATED), content=bytes(10_000_000)),
        lambda: archive_of(entry("a"), entry("a/b")),
        lambda: archive_of(entry("a" * 300)),
        lambda: io.BytesIO(b""),
        lambda: io.BytesIO(b"PK\5\6" + bytes(10)),
        lambda: io.BytesIO(archive_of(entry("a"), content=bytes(1000)).getvalue()[100:]),
        lambda: io.BytesIO(archive_of(entry("a"), content=b"content").getvalue().replace(b"content", b"damaged")),
        overlapping,
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_archive_is_refused(tmp_path, make: Callable[[], io.BytesIO]):
    (target := tmp_path / "target").mkdir()
    with pytest.raises(ArchiveError) as refused:
        unpack(make(), target)
    assert "\n" not in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} == {"target"}
    assert not any(path.is_symlink() for path in target.rglob("*"))


@given(data=st.binary(max_size=200), at=st.integers(0, 400))
def test_any_bytes_are_an_archive_or_refused(tmp_path_factory, data, at):
    whole = archive_of(entry("a"), entry("b/c")).getvalue()
    folder = tmp_path_factory.mktemp("any")
    (target := folder / "target").mkdir()
    with suppress(ArchiveError):
        unpack(io.BytesIO(whole[:at] + data + whole[at + len(data) :]), target)
    assert {path.name for path in folder.iterdir()} == {"target"}
