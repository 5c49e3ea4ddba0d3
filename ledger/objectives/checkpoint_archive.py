"""The archive of a checkpoint: an uncompressed zip file with the files and folders of one folder.

A worker with the credentials of the database can store any bytes as a checkpoint. Therefore `unpack` writes only
regular files and folders below the given folder. `unpack` writes at most as many bytes as the archive contains.
"""

import errno
import os
import shutil
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from ledger.errors import LedgerError
from ledger.objectives.artifact_saving import PIECE
from ledger.text import one_line

# Largest number of files and folders in a checkpoint.
MOST_ENTRIES = 10_000
# Errors that a name in an archive can cause. For example, an archive can use the same name for a file and for a folder.
_ERRORS_OF_NAMES = (errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR)
# Errors that zipfile raises if the bytes are not an archive. During `unpack`, code of the objective can also raise an
# exception, such as a TimeoutError. An exception of the objective does not mean that the archive is damaged.
_ERRORS_OF_BYTES = (
    *(BadZipFile, EOFError, IndexError, NotImplementedError, OverflowError, RuntimeError, ValueError),
    *(struct.error, zlib.error),
)


class ArchiveError(LedgerError):
    """The bytes are not the archive of a checkpoint. The message is one line."""


def pack(folder: Path, archive: IO[bytes]) -> None:
    """Write the files and folders in a folder to an archive. For the same content, the archive is always the same.

    Parameters
    ----------
    folder : Path
        The folder.
    archive : binary file
        An empty file.

    Raises
    ------
    LedgerError
        The folder contains a link, a pipe or another special file, or more than `MOST_ENTRIES` files and folders. The
        function also raises a LedgerError if a name is not valid UTF-8. The message names the file.
    OSError
        A file cannot be read, or the archive cannot be written.

    Examples
    --------
    >>> import io, tempfile
    >>> folder, archive = Path(tempfile.mkdtemp()), io.BytesIO()
    >>> _ = (folder / "weights.bin").write_bytes(b"0.25")
    >>> pack(folder, archive)
    >>> other = Path(tempfile.mkdtemp())
    >>> unpack(archive, other)
    >>> (other / "weights.bin").read_bytes()
    b'0.25'
    """
    with ZipFile(archive, "w", ZIP_STORED) as target:
        for number, path in enumerate(_paths(folder)):
            name = path.relative_to(folder).as_posix()
            shown = one_line(name.encode(errors="backslashreplace").decode())
            if number == MOST_ENTRIES:
                raise LedgerError(
                    f"checkpoint: the folder has more than {MOST_ENTRIES:,} files and folders: write fewer files"
                )
            try:
                name.encode()
            except UnicodeEncodeError:
                raise LedgerError(f"checkpoint: the name {shown} is not valid UTF-8: choose another name") from None
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                target.writestr(_entry(name + "/"), b"")
            elif stat.S_ISREG(mode):
                with path.open("rb") as source, target.open(_entry(name), "w", force_zip64=True) as entry:
                    shutil.copyfileobj(source, entry, PIECE)
            else:
                raise LedgerError(f"checkpoint: {shown} is a link or a special file: write a copy into the folder")


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Write the files and folders of an archive into an empty folder.

    Raises
    ------
    ArchiveError
        The bytes are not an archive that `pack` has written, or an entry of the archive lies outside of the folder.
    OSError
        The folder cannot be written, for example because the disk is full.
    """
    size = archive.seek(0, os.SEEK_END)
    try:
        with ZipFile(archive) as source:
            entries = source.infolist()
            # In a hostile archive, two entries can refer to the same bytes.
            if len(entries) > MOST_ENTRIES or sum(entry.file_size for entry in entries) > size:
                raise ArchiveError("the archive has too many entries or bytes")
            for entry in entries:
                target = folder / _safe(entry)
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with source.open(entry) as content, target.open("xb") as written:
                        shutil.copyfileobj(content, written, PIECE)
    except OSError as error:
        if error.errno in _ERRORS_OF_NAMES:
            raise ArchiveError(f"the archive cannot be unpacked: {error.strerror}") from None
        raise
    except _ERRORS_OF_BYTES as error:
        raise ArchiveError(f"the archive cannot be read: {one_line(f'{type(error).__name__}: {error}')}") from None


def _paths(folder: Path) -> Iterator[Path]:
    """Yield all files and folders below a folder, in the order of their names. Follow no link."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _paths(path)


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name)  # The time of the entry is a constant.
    entry.create_system = 3
    entry.external_attr = (stat.S_IFDIR | 0o700 if name.endswith("/") else stat.S_IFREG | 0o600) << 16
    return entry


def _safe(entry: ZipInfo) -> str:
    """Return the relative path of an entry. Raise an ArchiveError if `pack` cannot have written the entry."""
    name = entry.filename.removesuffix("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if any(part in ("", ".", "..") for part in name.split("/")) or kind not in (stat.S_IFDIR, stat.S_IFREG):
        raise ArchiveError(f"the archive has the unsafe entry {one_line(entry.filename)}")
    if entry.compress_type != ZIP_STORED:
        raise ArchiveError(f"the archive has the compressed entry {one_line(entry.filename)}")
    return name
