"""A store in a folder. Several machines can share the folder by a network file system."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from ledger.errors import UsageError
from ledger.store.content import (
    PIECE,
    Content,
    ContentUnreadableError,
    StoreAbsentError,
    StoreError,
    missing,
)


class FolderStore:
    """A store in a folder.

    If the folder does not exist, the first `put` creates the folder. Only the owner can enter a folder that `put` has
    created. Several users can share an existing folder if the permissions of the folder allow it.

    Parameters
    ----------
    folder : Path
        An absolute path. The parent folder must exist.

    Attributes
    ----------
    url : str
        The URL of the folder, with the scheme ``file``.

    Raises
    ------
    UsageError
        The path is not a folder, or its parent folder does not exist.

    Examples
    --------
    >>> import hashlib, io, tempfile, uuid
    >>> store = FolderStore(Path(tempfile.mkdtemp()) / "artifacts")
    >>> content = Content(hashlib.sha256(b"model").hexdigest(), 5, uuid.uuid4())
    >>> store.put(content, io.BytesIO(b"model"))
    >>> b"".join(store.pieces(content))
    b'model'
    >>> store.remove(content)
    True
    """

    def __init__(self, folder: Path) -> None:
        self.url = folder.as_uri()
        self._folder = folder
        try:
            is_other = os.path.lexists(folder) and not folder.is_dir()
            has_parent = folder.parent.is_dir()
        except OSError as error:
            raise UsageError(f"the store {self.url} cannot be opened: {error.strerror or error}") from None
        if is_other:
            raise UsageError(f"the store {self.url} is not a folder: choose a folder")
        if not has_parent:
            raise UsageError(f"the parent folder of the store {self.url} does not exist: create or mount it")

    def put(self, content: Content, file: IO[bytes]) -> None:
        target = self._folder / content.path
        try:
            if not self._folder.exists():
                self._folder.mkdir(mode=0o700, exist_ok=True)
                _sync(self._folder.parent)
            if not target.parent.exists():
                target.parent.mkdir(exist_ok=True)
                # All users of a shared folder must be able to write into its subfolders, even if the umask of the first
                # writer is strict.
                with suppress(PermissionError):
                    target.parent.chmod(stat.S_IMODE(self._folder.stat().st_mode))
                _sync(self._folder)
            temporary = _temporary(target)
            try:
                _write(temporary, file)
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _sync(target.parent)
        except OSError as error:
            raise self._failed("keep the content", error) from error

    def pieces(self, content: Content) -> Iterator[bytes]:
        try:
            with open(self._folder / content.path, "rb", buffering=0, opener=_open_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise missing(self.url, content)
                while piece := file.read(PIECE):
                    yield piece
        except FileNotFoundError:
            self._check_mounted(content)
            raise missing(self.url, content) from None
        except OSError as error:
            self._check_mounted(content)
            failed = self._failed(f"return the content {content.path}", error)
            raise ContentUnreadableError(f"{failed}: make the file readable, or restore it from a backup") from error

    def remove(self, content: Content) -> bool:
        target = self._folder / content.path
        is_found = False
        try:
            for path in (target, _temporary(target)):
                with suppress(FileNotFoundError):
                    path.unlink()
                    is_found = True
        except OSError as error:
            raise self._failed(f"remove the content {content.path}", error) from error
        if not is_found:
            self._check_mounted(content)
        return is_found

    def _check_mounted(self, content: Content) -> None:
        """Raise StoreAbsentError if the folder is missing or has no subfolder of a content, because its file system may
        not be mounted.

        A folder that has ever kept a content has such a subfolder, because `remove` leaves the subfolders. Below the
        point of a mount, an administrator may keep other files.
        """
        try:
            with os.scandir(self._folder) as entries:
                is_empty = not any(re.fullmatch("[0-9a-f]{2}", entry.name) for entry in entries)
        except FileNotFoundError:
            is_empty = True
        except OSError as error:
            raise self._failed(f"find the content {content.path}", error) from error
        if is_empty:
            raise StoreAbsentError(
                f"the folder of the store {self.url} is missing or has no contents: mount the folder, or name the store"
                " by --store or LEDGER_STORE"
            )

    def _failed(self, what: str, error: OSError) -> StoreError:
        return StoreError(f"the store {self.url} cannot {what}: {error.strerror or error}")


def _open_without_waiting(path: str, flags: int) -> int:
    # Without O_NONBLOCK, a named pipe could make this process wait forever.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _temporary(target: Path) -> Path:
    # Only one worker writes a content with a given id, so the file's name needs no random part. The method `remove`
    # also removes the temporary file.
    return target.with_name(f".{target.name}")


def _write(path: Path, file: IO[bytes]) -> None:
    # Without O_EXCL, a symbolic link with this name could make this process overwrite another file.
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb", buffering=0) as written:
        while piece := file.read(PIECE):
            view = memoryview(piece)
            while view:
                view = view[written.write(view) :]
        os.fsync(written.fileno())


def _sync(folder: Path) -> None:
    """Write the names in a folder to the disk, so that a crash of the machine does not lose a renamed file."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # Some network file systems cannot sync a folder.
            raise
    finally:
        os.close(descriptor)
