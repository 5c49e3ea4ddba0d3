"""Functions that read and change the tags, the note and the user attributes of a study or a trial.

An annotation is not a result, so the ledger also accepts annotations of studies and trials that have ended.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg.errors import InvalidParameterValue
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ledger.database import trials, views
from ledger.database.bounds import (
    LARGEST_ATTRIBUTES,
    LONGEST_NAME,
    LONGEST_NOTE,
    LONGEST_TAG,
    MOST_ATTRIBUTES,
    MOST_TAGS,
    json_fault,
    text_fault,
)
from ledger.database.connection import refused_if_locked, to_json
from ledger.database.rows import AnnotationRow, StudyRow
from ledger.database.selecting import answer, fetch, fetch_one, rows_of
from ledger.errors import LedgerError, UsageError
from ledger.text import show

# Maximum number of annotations in one page.
PAGE = 1000

_annotations = views.annotations
_ANNOTATE_STUDY = text(
    "select ledger.annotate_study(:study, cast(:tags as text[]), cast(:untag as text[]), cast(:note as text),"
    " cast(:attributes as jsonb), cast(:remove as text[]))"
)
_ANNOTATE_TRIAL = text(
    "select ledger.annotate_trial(:study, :trial, cast(:tags as text[]), cast(:untag as text[]), cast(:note as text),"
    " cast(:attributes as jsonb), cast(:remove as text[]))"
)


@dataclass(frozen=True)
class AnnotationChange:
    """A change of the tags, the note and the user attributes of a study or a trial.

    Attributes
    ----------
    tags, untag : collection of str
        The tags to add, and the tags to remove.
    note : str or None
        The new note. None keeps the current note, and an empty text removes the note.
    attributes : mapping of str to a JSON value
        The user attributes to set.
    remove : collection of str
        The names of the user attributes to remove.

    Raises
    ------
    UsageError
        The ledger does not accept one of the values.

    Examples
    --------
    >>> AnnotationChange(tags=["baseline"], note="the run of the paper").is_empty
    False
    >>> AnnotationChange(tags=[""])
    Traceback (most recent call last):
    ledger.errors.UsageError: a tag is empty: write a word
    """

    tags: Collection[str] = ()
    untag: Collection[str] = ()
    note: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    remove: Collection[str] = ()

    def __post_init__(self) -> None:
        _check_all("tags", self.tags, LONGEST_TAG)
        _check_all("untag", self.untag, LONGEST_TAG)
        _check_all("remove", self.remove)
        if self.note is not None:
            _check_text("the note", self.note, LONGEST_NOTE)
        if not isinstance(self.attributes, Mapping):
            raise UsageError("the attributes are not a mapping: write {name: value}")
        if len(self.tags) > MOST_TAGS:
            raise UsageError(f"{len(self.tags)} tags are too many: a study or a trial has at most {MOST_TAGS} tags")
        if len(self.attributes) > MOST_ATTRIBUTES:
            raise UsageError(
                f"{len(self.attributes)} attributes are too many: a study or a trial has at most {MOST_ATTRIBUTES}"
            )
        for name in self.attributes:
            _check_text("the name of an attribute", name)
            if name == "":
                raise UsageError("the name of an attribute is empty: write a word")
        try:
            written = json.loads(to_json(self.attributes))
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"the attributes are not JSON values: {error}") from None
        if fault := json_fault(written, LARGEST_ATTRIBUTES):
            raise UsageError(f"the attributes: {fault}")

    @property
    def is_empty(self) -> bool:
        """Whether the change is empty. An empty change leaves the annotation unchanged."""
        return self.note is None and not any((self.tags, self.untag, self.attributes, self.remove))


def annotate(connection: Connection, study: StudyRow, trial: int | None, change: AnnotationChange) -> str:
    """Change the annotation of a study, or of the trial with the number `trial`. Return "annotated" or "unchanged".

    Raises
    ------
    UsageError
        The changed annotation would exceed a limit, such as the maximum number of tags.
    LedgerError
        The trial does not exist, the study was deleted, or another session has locked the annotation.
    """
    if trial is None:
        word = annotate_study(connection, study.id, change)
    else:
        trials.get(connection, study, trial)
        word = annotate_trial(connection, study.id, trial, change)
    if word == "unknown":
        raise LedgerError(f"study {study.name} was deleted")
    return word


def annotate_study(connection: Connection, study_id: int, change: AnnotationChange) -> str:
    """Change the annotation of a study. Return "annotated", "unchanged" or "unknown".

    Raises
    ------
    UsageError
        The changed annotation would exceed a limit, such as the maximum number of tags.
    LedgerError
        Another session has locked the annotation.
    """
    with _refusals("the annotation of the study"):
        return str(answer(connection, _ANNOTATE_STUDY, study=study_id, **_parameters(change)))


def annotate_trial(connection: Connection, study_id: int, trial: int, change: AnnotationChange) -> str:
    """Change the annotation of a trial. Return "annotated", "unchanged" or "unknown".

    Raises
    ------
    UsageError
        The changed annotation would exceed a limit, such as the maximum number of tags.
    LedgerError
        Another session has locked the annotation.
    """
    with _refusals(f"the annotation of trial {trial}"):
        return str(answer(connection, _ANNOTATE_TRIAL, study=study_id, trial=trial, **_parameters(change)))


def of_study(connection: Connection, study_id: int) -> AnnotationRow | None:
    """Return the annotation of a study, or None if the study has no annotation."""
    chosen = rows_of(AnnotationRow).where(_annotations.c.study_id == study_id, _annotations.c.trial.is_(None))
    with connection.begin():
        return fetch_one(connection, AnnotationRow, chosen)


def of_trial(connection: Connection, study_id: int, trial: int) -> AnnotationRow | None:
    """Return the annotation of a trial, or None if the trial has no annotation."""
    chosen = rows_of(AnnotationRow).where(_annotations.c.study_id == study_id, _annotations.c.trial == trial)
    with connection.begin():
        return fetch_one(connection, AnnotationRow, chosen)


def of_all(connection: Connection, study_id: int) -> Iterator[AnnotationRow]:
    """Yield the annotation of a study and the annotations of its trials. If the study has no annotation, yield only the
    annotations of the trials.
    """
    annotation = of_study(connection, study_id)
    if annotation is not None:
        yield annotation
    yield from of_trials(connection, study_id)


def of_trials(connection: Connection, study_id: int) -> Iterator[AnnotationRow]:
    """Yield the annotations of a study's trials, ordered by the numbers of the trials.

    The function reads each page of annotations in a separate transaction.
    """
    of = rows_of(AnnotationRow).where(_annotations.c.study_id == study_id).order_by(_annotations.c.trial).limit(PAGE)
    last = -1
    while True:
        with connection.begin():
            page = fetch(connection, AnnotationRow, of.where(_annotations.c.trial > last))
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1].trial or 0


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """If an SQL function refuses a call in the `with` block, raise a UsageError with the function's error message."""
    try:
        with refused_if_locked(what):
            yield
    except DBAPIError as error:
        if isinstance(error.orig, InvalidParameterValue):
            raise UsageError(str(error.orig.diag.message_primary)) from None
        raise


def _parameters(change: AnnotationChange) -> dict[str, object]:
    return {
        "tags": list(change.tags),
        "untag": list(change.untag),
        "note": change.note,
        "attributes": to_json(change.attributes),
        "remove": list(change.remove),
    }


def _check_all(name: str, texts: Collection[str], longest: int = LONGEST_NAME) -> None:
    if isinstance(texts, str) or not isinstance(texts, Collection):
        raise UsageError(f"{name} is no list of texts: write {name}=[...]")
    for each in texts:
        _check_text("a tag" if name != "remove" else "the name of an attribute", each, longest)
        if name == "tags" and not each.strip():
            raise UsageError("a tag is empty: write a word")


def _check_text(what: str, value: object, longest: int = LONGEST_NAME) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{what} is no text: {show(value)}")
    if fault := text_fault(value, longest):
        raise UsageError(f"{what}: {fault}")
