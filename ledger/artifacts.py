"""Use cases of artifacts: list, read, download and remove the artifacts of a study."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.access import connected
from ledger.database import artifacts, studies
from ledger.database.artifacts import DiscardedContent, StoredContent
from ledger.database.bounds import artifact_name_fault
from ledger.database.rows import ArtifactRow
from ledger.errors import LedgerError, UsageError
from ledger.keywords import trial_number
from ledger.settings import Settings
from ledger.store import Content, ContentMissingError, Store, StoreAbsentError, StoreError, checked, chosen, opened
from ledger.text import one_line

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True)
class Artifact:
    """A file that an attempt of a trial has saved. `StudyResult.artifacts` returns the artifacts of a study.

    Attributes
    ----------
    study : str
        The name of the study.
    trial : int
        The number of the trial within the study, from 0.
    attempt : int
        The number of the attempt within the trial, from 1.
    name : str
        The name of the artifact within the attempt.
    size : int
        The number of bytes.
    sha256 : str
        The SHA-256 of the bytes, in hexadecimal.
    store : str or None
        The URL of the store that contains the bytes. None if the ledger itself contains the bytes.
    saved_at : datetime
        The time at which the artifact was saved, by the database's clock.

    Examples
    --------
    >>> import ledger
    >>> ledger.load_study("parabola").artifacts()
    []
    """

    study: str
    trial: int
    attempt: int
    name: str
    size: int
    sha256: str
    store: str | None
    saved_at: datetime
    # The settings name the artifact's ledger and the place of the contents.
    _settings: Settings = field(default_factory=Settings.from_environment, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        # The settings can contain a password. Therefore the pickle does not contain the settings. A process that loads
        # the pickle reads the settings from its environment.
        return {name: value for name, value in vars(self).items() if name != "_settings"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, _settings=Settings.from_environment())

    def read(self) -> bytes:
        """Return the bytes of the artifact, and check their SHA-256.

        Raises
        ------
        LedgerError
            The artifact was removed or replaced, its store cannot be read, or its bytes are damaged.

        Examples
        --------
        >>> import ledger
        >>> {artifact.name: len(artifact.read()) for artifact in ledger.load_study("parabola").artifacts()}
        {}
        """
        with self._found() as (connection, study_id, row):
            return b"".join(contents(connection, self._settings, study_id, row))

    def download(self, path: str | os.PathLike[str] = ".", *, overwrite: bool = False) -> Path:
        """Write the artifact to a file, and return the path of the file. The method checks the SHA-256 of the bytes.

        Parameters
        ----------
        path : str or path
            The path of the file. If the path is a folder, the file gets the name of the artifact.
        overwrite : bool
            Whether to replace an existing file.

        Raises
        ------
        LedgerError
            The file cannot be written, or the file exists and `overwrite` is false. A LedgerError also occurs if the
            artifact was removed or replaced, if its store cannot be read, or if its bytes are damaged. After an error,
            the method leaves no part of the artifact in the file.

        Examples
        --------
        >>> import ledger
        >>> [artifact.download("models") for artifact in ledger.load_study("parabola").artifacts()]
        []
        """
        with self._found() as (connection, study_id, row):
            return download(connection, self._settings, study_id, row, Path(path), overwrite=overwrite)

    def remove(self) -> None:
        """Remove the artifact. The ledger keeps the name, the size and the SHA-256 of the artifact.

        Raises
        ------
        LedgerError
            The study was deleted, or the store cannot remove the artifact now.

        Examples
        --------
        >>> import ledger
        >>> for artifact in ledger.load_study("parabola").artifacts():
        ...     artifact.remove()
        """
        with self._found() as (connection, study_id, row):
            removal = remove(connection, self._settings, study_id, [row])
        if removal.left:
            raise LedgerError(waiting(removal.left))

    @contextmanager
    def _found(self) -> "Iterator[tuple[Connection, int, ArtifactRow]]":
        """Yield a connection, the id of the study, and the current row of the artifact."""
        with connected(self._settings) as connection:
            study = studies.get(connection, self.study)
            row = find(connection, study.id, self.study, self.trial, self.name, self.attempt)
            if row.sha256 != self.sha256:
                raise LedgerError(f"artifact {self.name} of trial {self.trial} was replaced: list the artifacts again")
            yield connection, study.id, row


def of_study(settings: Settings, name: str, trial: int | None = None) -> list[Artifact]:
    """Return the artifacts of a study or of one trial, ordered by trial, attempt and name. The list does not contain
    removed artifacts.

    Raises
    ------
    UsageError
        `trial` is not the number of a trial.
    LedgerError
        The study does not exist, or the database is unavailable.
    """
    trial = trial_number("artifacts", trial)
    listed = []
    with connected(settings) as connection:
        for row in artifacts.of_study(connection, studies.get(connection, name).id, trial):
            if row.removed_at is None:
                facts = (row.trial, row.attempt, row.name, row.size, row.sha256, row.store, row.saved_at)
                listed.append(Artifact(name, *facts, _settings=settings))
    return listed


def find(
    connection: "Connection", study_id: int, study: str, trial: int, name: str, attempt: int | None = None
) -> ArtifactRow:
    """Return an artifact of a trial. If `attempt` is None, return the artifact of the last attempt that has saved the
    artifact.

    Raises
    ------
    LedgerError
        The trial has no artifact with the name, or the artifact was removed.
    """
    rows = list(artifacts.of_study(connection, study_id, trial))
    named = [row for row in rows if row.name == name and attempt in (None, row.attempt)]
    kept = [row for row in named if row.removed_at is None]
    if kept:
        return kept[-1]
    if named:
        raise LedgerError(f"artifact {name} of trial {trial} was removed at {named[-1].removed_at:%Y-%m-%d %H:%M} UTC")
    names = sorted({row.name for row in rows if row.removed_at is None and attempt in (None, row.attempt)})
    way_out = f"its artifacts are {', '.join(names)}" if names else "`ledger artifact list` shows the artifacts"
    of = "" if attempt is None else f"attempt {attempt} of "
    raise LedgerError(f"{of}trial {trial} of study {study} has no artifact {one_line(name)!r}: {way_out}")


def contents(connection: "Connection", settings: Settings, study_id: int, row: ArtifactRow) -> Iterator[bytes]:
    """Yield the bytes of an artifact in pieces. After the last piece, check the SHA-256 of the bytes.

    The function opens only the store that the settings choose. The function never opens a URL from the database,
    because a worker can write any URL into the database.

    Raises
    ------
    LedgerError
        The store does not have the artifact, the store cannot be read, or the bytes are damaged.
    """
    assert row.content is not None
    content = StoredContent(row.trial, row.name, row.content, row.sha256, row.size, row.store)
    try:
        yield from checked_pieces(connection, settings, content)
    except StoreError as error:
        now = next(
            (
                each
                for each in artifacts.of_study(connection, study_id, row.trial)
                if (each.attempt, each.name) == (row.attempt, row.name)
            ),
            None,
        )
        if now is None or now.content != row.content:
            raise LedgerError(
                f"artifact {row.name} of trial {row.trial} was replaced or removed while it was read: list the"
                " artifacts again"
            ) from error
        raise LedgerError(f"artifact {row.name} of trial {row.trial}: {error}") from error


def checked_pieces(connection: "Connection", settings: Settings, stored: StoredContent) -> Iterator[bytes]:
    """Yield the bytes of an artifact or a checkpoint in pieces. After the last piece, check the SHA-256 of the bytes.

    Raises
    ------
    StoreError
        The store does not have the content, the store cannot be read, or the bytes are damaged.
    LedgerError
        The content is in a store, but the settings choose no store.
    """
    content = Content(stored.sha256, stored.size, stored.id)
    if stored.store is None:
        pieces = artifacts.pieces(connection, stored.id)
    else:
        pieces = _of_store(_opened(settings, stored.store), content, stored.store)
    yield from checked(content, pieces)


def download(
    connection: "Connection",
    settings: Settings,
    study_id: int,
    row: ArtifactRow,
    path: Path,
    *,
    overwrite: bool = False,
) -> Path:
    """Write an artifact to a file, and return the path of the file. `Artifact.download` describes the parameters.

    Raises
    ------
    LedgerError
        The docstring of `Artifact.download` lists the causes.
    """
    # The triggers of the ledger refuse an invalid artifact name. However, the owner of the database can disable the
    # triggers.
    if fault := artifact_name_fault(row.name):
        raise LedgerError(f"trial {row.trial}: {fault}: the database is damaged, so no file is written")
    # `Path.is_dir` would raise an OSError if the path is too long or cannot be examined.
    target = path / row.name if os.path.isdir(path) else path  # noqa: PTH112
    shown = one_line(str(target))
    refusal = LedgerError(f"{shown} exists: choose another path, or overwrite the file with --force (overwrite=True)")
    if os.path.isdir(target):  # noqa: PTH112
        raise LedgerError(f"{shown} is a folder: choose another path")
    if os.path.lexists(target) and not target.is_symlink() and not target.is_file():
        raise LedgerError(f"{shown} is not a regular file: choose another path")
    if os.path.lexists(target) and not overwrite:
        raise refusal
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}")
    try:
        try:
            with temporary.open("xb") as file:
                for piece in contents(connection, settings, study_id, row):
                    file.write(piece)
            if overwrite:
                temporary.replace(target)
            else:
                _rename(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise refusal from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise LedgerError(f"{shown} cannot be written ({reason}): choose another path") from error
    return target


@dataclass(frozen=True)
class RemainingContent:
    """A discarded content that this machine could not delete.

    Attributes
    ----------
    content : DiscardedContent
    reason : str or None
        The reason why this machine could not delete the content. None if the settings do not choose the content's
        store.
    """

    content: DiscardedContent
    reason: str | None


@dataclass(frozen=True)
class Removal:
    """The result of a removal of artifacts.

    Attributes
    ----------
    removed : int
        The number of removed artifacts.
    left : sequence of RemainingContent
        The contents that this machine could not delete. Each of these contents belongs to a removed artifact.
    """

    removed: int
    left: Sequence[RemainingContent]


def remove(connection: "Connection", settings: Settings, study_id: int, rows: Iterable[ArtifactRow]) -> Removal:
    """Remove artifacts of a study, and delete their contents from the store that the settings choose.

    Raises
    ------
    LedgerError
        Another session has locked one of the artifacts.
    """
    return _removal(
        connection, settings, lambda: sum(artifacts.remove(connection, study_id, row) == "removed" for row in rows)
    )


def remove_beaten(connection: "Connection", settings: Settings, study_id: int, kept: int) -> Removal:
    """Remove the artifacts of ended trials. Of the trials with artifacts, the best trials keep their artifacts, and
    `kept` is the number of these trials.

    The function deletes the contents of the removed artifacts from the store that the settings choose.
    """
    return _removal(connection, settings, lambda: artifacts.remove_beaten(connection, study_id, kept))


def _removal(connection: "Connection", settings: Settings, remove_rows: Callable[[], int]) -> Removal:
    """Call `remove_rows`, which removes artifacts and returns the number of removed artifacts. Delete the contents that
    `remove_rows` has discarded.
    """
    earlier = {content.id for content in artifacts.discarded(connection)}
    removed = remove_rows()
    discarded = (content for content in artifacts.discarded(connection) if content.id not in earlier)
    return Removal(removed, _delete(connection, settings, discarded))


def sweep(connection: "Connection", settings: Settings) -> list[RemainingContent]:
    """Delete all contents to which no artifact refers. Return the contents that this machine cannot delete.

    The function deletes contents from the store that the settings choose. The store may have had another URL when a
    worker saved the contents. The path of a content contains a random id, so no other file has the same path.
    """
    artifacts.discard(connection)
    return _delete(connection, settings, artifacts.discarded(connection))


def _delete(
    connection: "Connection", settings: Settings, contents: Iterable[DiscardedContent]
) -> list[RemainingContent]:
    """Delete discarded contents from the store that the settings choose. Return the contents that the function could
    not delete.
    """
    url, store, reason = chosen(settings), None, None
    if url is not None:
        try:
            store = opened(url)
        except UsageError as error:
            reason = str(error)
    left = []
    for content in contents:
        is_here = content.store == url
        if store is None:
            left.append(RemainingContent(content, reason if is_here else None))
            continue
        try:
            is_removed = store.remove(Content(content.sha256, content.size, content.id))
        except StoreError as error:
            left.append(RemainingContent(content, str(error) if is_here else None))
            continue
        if is_removed or is_here:
            artifacts.forget(connection, content.id)
        else:
            left.append(RemainingContent(content, None))
    return left


def forget_store(connection: "Connection", url: str) -> int:
    """For a store that no longer exists, delete the ledger's records of discarded contents. Return the number of
    records."""
    forgotten = 0
    while page := artifacts.some_discarded(connection, url):
        for content in page:
            artifacts.forget(connection, content.id)
        forgotten += len(page)
    return forgotten


def stores_with_discarded(connection: "Connection") -> set[str]:
    """Return the URL of each store with discarded contents."""
    return {content.store for content in artifacts.discarded(connection)}


def waiting(left: Sequence[RemainingContent]) -> str:
    """Return a message about contents that this machine could not delete."""
    stores = sorted({one_line(each.content.store) for each in left})
    sweeps = " and ".join(f"`ledger artifact sweep --store {store}`" for store in stores)
    forgets = " or ".join(f"`ledger artifact sweep --forget {store}`" for store in stores)
    reason = next((each.reason for each in left if each.reason is not None), None)
    what = "1 content of a removed artifact is" if len(left) == 1 else f"{len(left)} contents of removed artifacts are"
    return (
        f"{what} still in {', '.join(stores)}{f' ({reason})' if reason else ''}: run {sweeps} on a machine that can"
        f" write to the store; if the store no longer exists, run {forgets}"
    )


def _opened(settings: Settings, recorded: str) -> Store:
    url = chosen(settings)
    if url is None:
        raise LedgerError(
            f"the artifact is in the store {one_line(recorded)}: name this store by --store or LEDGER_STORE"
        )
    return opened(url)


def _of_store(store: Store, content: Content, recorded: str) -> Iterator[bytes]:
    try:
        yield from store.pieces(content)
    except (ContentMissingError, StoreAbsentError) as error:
        if store.url == recorded:
            raise
        raise ContentMissingError(f"{error}; the artifact was saved in {one_line(recorded)}") from None


def _rename(temporary: Path, target: Path) -> None:
    """Rename a file, and raise FileExistsError if the new name exists."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # Some file systems have no hard links.
        if os.path.lexists(target):
            raise FileExistsError from None
        temporary.replace(target)
