"""A store behind a URL that the package fsspec understands, such as a bucket of S3."""

from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from ledger.errors import UsageError
from ledger.store.content import PIECE, Content, StoreError, missing
from ledger.text import one_line


class RemoteStore:
    """A store behind a URL that the package fsspec understands.

    fsspec reads the credentials of the store from the environment, or from the configuration files of the user.

    Parameters
    ----------
    url : str
        The URL of a bucket or of a folder within a bucket, such as ``s3://bucket/artifacts``.

    Raises
    ------
    UsageError
        fsspec is not installed, another package for the URL is not installed, or fsspec does not accept the URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            import fsspec
        except ImportError:
            raise UsageError(
                f"the store {url} needs the package fsspec, which is not installed: pip install 'trial-ledger[store]'"
            ) from None
        try:
            self._files: Any
            self._files, self._folder = fsspec.core.url_to_fs(url)
        # fsspec calls another package, such as s3fs, and does not catch the exceptions of this package.
        except Exception as error:
            reason = one_line(str(error))
            raise UsageError(
                f"the store {url} cannot be opened: {reason}: give a folder, or a URL that fsspec can open, such as"
                " s3://bucket/folder"
            ) from None

    def put(self, content: Content, file: IO[bytes]) -> None:
        path = self._path(content)
        try:
            # Without `create_parents=False`, fsspec would create a missing bucket, for example after a typing error.
            with suppress(FileExistsError):
                self._files.mkdir(path.rpartition("/")[0], create_parents=False)
            with self._files.open(path, "wb") as written:
                while piece := file.read(PIECE):
                    written.write(piece)
        except Exception as error:
            # When the `with` block closes the file, fsspec may write an incomplete content. No artifact refers to the
            # incomplete content.
            with suppress(Exception):
                self._files.rm_file(path)
            raise self._failed("keep the content", error) from error

    def pieces(self, content: Content) -> Iterator[bytes]:
        try:
            with self._files.open(self._path(content), "rb") as file:
                while piece := file.read(PIECE):
                    yield piece
        except FileNotFoundError:
            raise missing(self.url, content) from None
        except Exception as error:
            raise self._failed(f"return the content {content.path}", error) from error

    def remove(self, content: Content) -> bool:
        path = self._path(content)
        try:
            # Some object stores report no error if the object to remove does not exist.
            if is_found := bool(self._files.exists(path)):
                self._files.rm_file(path)
        except FileNotFoundError:
            return False
        except Exception as error:
            raise self._failed(f"remove the content {content.path}", error) from error
        return is_found

    def _path(self, content: Content) -> str:
        return f"{self._folder.rstrip('/')}/{content.path}"

    def _failed(self, what: str, error: Exception) -> StoreError:
        reason = one_line(f"{type(error).__name__}: {error}")
        return StoreError(f"the store {self.url} cannot {what}: {reason}")
