"""The choice of the store: the setting `--store`, or a default."""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ledger.database.bounds import LONGEST_NAME, text_fault
from ledger.errors import UsageError
from ledger.settings import Settings
from ledger.store.content import Store
from ledger.store.folder import FolderStore
from ledger.store.remote import RemoteStore
from ledger.text import show

# With this value of the option --store, workers write the contents of artifacts into the database.
LEDGER = "ledger"
# Protocols of fsspec that cannot keep a content: they are read-only, or belong to one process.
_NO_STORES = ("data", "github", "http", "https", "memory", "reference", "zip")
# Name of the folder for the contents of artifacts. This folder is inside the folder of an embedded server.
_FOLDER = "artifacts"


def chosen(settings: Settings) -> str | None:
    """Return the URL of the store that the settings choose, or None if the database stores the contents.

    By default, the store of an embedded server is a folder beside the server's data. A database on any other server
    stores the contents itself by default.

    Raises
    ------
    UsageError
        The setting is not a folder, a URL or the word ``ledger``.

    Examples
    --------
    >>> chosen(Settings(home=Path("/data/.ledger")))
    'file:///data/.ledger/artifacts'
    >>> chosen(Settings(database_url="postgresql://db/ledger"))
    >>> chosen(Settings(database_url="postgresql://db/ledger", store="s3://bucket/artifacts"))
    's3://bucket/artifacts'
    """
    if settings.store is not None:
        return normalized(settings.store)
    if settings.database_url is None:
        return (Path(os.path.realpath(settings.home)) / _FOLDER).as_uri()
    return None


def normalized(store: str, option: str = "--store") -> str | None:
    """Return the URL of a store, in the form in which the ledger records the URL. None stands for the database itself.

    Parameters
    ----------
    store : str
        A URL, the path of a folder, or the word ``ledger``.
    option : str
        The option that an error message names.

    Raises
    ------
    UsageError
        The text is neither a URL nor a path, is too long, or contains a password.

    Examples
    --------
    >>> normalized("/data/artifacts"), normalized("ledger")
    ('file:///data/artifacts', None)
    >>> normalized("s3://key:secret@bucket/artifacts")
    Traceback (most recent call last):
    ledger.errors.UsageError: --store: a URL with a user or a password is not allowed, because every reader of the \
ledger sees the URL: put the credentials into the environment
    """
    if store == LEDGER:
        return None
    if not store or "::" in store or not store.isprintable():
        raise UsageError(
            f"{option} {show(store)} is neither a folder nor a URL: give a folder such as /data/artifacts, a URL such"
            " as s3://bucket/folder, or the word ledger"
        )
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", store)
    if scheme is None:
        url = _folder_url(store)
    else:
        try:
            parts = urlsplit(store)
        except ValueError:
            raise UsageError(f"{option} {show(store)} is no URL: write s3://bucket/folder") from None
        is_folder = parts.scheme in ("file", "local")  # In fsspec, both are the file system of the machine.
        if "@" in parts.netloc:
            raise UsageError(
                f"{option}: a URL with a user or a password is not allowed, because every reader of the ledger sees the"
                " URL: put the credentials into the environment"
            )
        if parts.query or parts.fragment:
            raise UsageError(f"{option} {show(store)}: a URL with ? or # is not allowed: write s3://bucket/folder")
        if is_folder and (parts.netloc not in ("", "localhost") or not parts.path.startswith("/")):
            raise UsageError(f"{option} {show(store)} names no absolute path: write file:///data/artifacts")
        if parts.scheme in _NO_STORES:
            raise UsageError(
                f"{option} {show(store)}: {parts.scheme}:// cannot keep files for other processes: give a folder, or a"
                " URL such as s3://bucket/folder"
            )
        # The code converts different URLs of a place into one URL. The resulting URL has no `localhost` and no empty
        # parts, and quotes special characters in the path of a folder.
        rest = re.sub("/+", "/", store[scheme.end() :]).rstrip("/")
        url = _folder_url(unquote(parts.path)) if is_folder else f"{parts.scheme}://{rest}"
    if fault := text_fault(url, LONGEST_NAME):
        raise UsageError(f"{option}: {fault}")
    return url


def _folder_url(path: str) -> str:
    return Path(os.path.abspath(path)).as_uri()  # noqa: PTH100 (Path.absolute leaves "..")


def opened(url: str) -> Store:
    """Return the store with the given URL, which must be a result of `normalized`. The function writes nothing.

    Raises
    ------
    UsageError
        The folder does not exist, or a package for the URL is not installed.
    """
    if url.startswith("file:"):
        return FolderStore(Path(unquote(urlsplit(url).path)))
    return RemoteStore(url)
