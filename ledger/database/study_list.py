"""The list of studies. The database applies the filters, the order and the limit of the list."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Select, func, literal, select, true

from ledger.database import views
from ledger.database.bounds import LONGEST_NAME, LONGEST_TAG, MOST_TAGS, text_fault
from ledger.database.rows import STUDY_STATES, ProgressRow, columns
from ledger.database.selecting import fetch
from ledger.errors import UsageError
from ledger.text import nearest, one_line, show

Order = Literal["created", "name", "best", "trials", "seconds"]
ORDERS: tuple[Order, ...] = get_args(Order)
# Each key of _UNITS is a unit of an age, and each value of _UNITS is the number of seconds in the unit.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])")
# Maximum age in seconds, which is about 100 years.
_OLDEST = 100 * 365.25 * 86_400

_studies, _progress = views.studies, views.progress
_ended = _progress.c.complete + _progress.c.pruned + _progress.c.failed + _progress.c.cancelled


@dataclass(frozen=True)
class StudyFilter:
    """A filter that selects the studies of a list, for example by state, tags, name and age.

    Attributes
    ----------
    states : collection of str
        The states of the studies; empty for all states.
    tags : collection of str
        Tags that each study must have.
    name, objective, dataset : str or None
        A pattern for the name, a pattern for the objective, and a pattern for the dataset of each study. In a pattern,
        ``*`` stands for any characters, and ``?`` stands for one character.
    newer, older : timedelta or None
        The highest age and the lowest age of the studies, measured with the database's clock.
    archived : bool or None
        True for the archived studies, False for the studies that are not archived, None for all studies.

    Raises
    ------
    UsageError
        A state is unknown, or a tag or a pattern is too long.

    Examples
    --------
    >>> StudyFilter(states=["complete"], name="svm-*").is_empty
    False
    >>> StudyFilter(states=["ended"])
    Traceback (most recent call last):
    ledger.errors.UsageError: state: there is no state 'ended'; ...
    """

    states: Collection[str] = ()
    tags: Collection[str] = ()
    name: str | None = None
    objective: str | None = None
    dataset: str | None = None
    newer: timedelta | None = None
    older: timedelta | None = None
    archived: bool | None = False

    def __post_init__(self) -> None:
        for state in self.states:
            if state not in STUDY_STATES:
                raise UsageError(f"state: there is no state {one_line(str(state), 50)!r}{nearest(state, STUDY_STATES)}")
        if len(self.tags) > MOST_TAGS:
            raise UsageError(f"tag: {len(self.tags)} tags are too many; use at most {MOST_TAGS} tags")
        for tag in self.tags:
            _check("tag", tag, LONGEST_TAG)
        for name in ("name", "objective", "dataset"):
            if (pattern := getattr(self, name)) is not None:
                _check(name, pattern, LONGEST_NAME)

    @property
    def is_empty(self) -> bool:
        """Whether each attribute of the filter is empty or None. The value of `archived` has no effect on the
        result."""
        texts = (self.name, self.objective, self.dataset, self.newer, self.older)
        return not self.states and not self.tags and all(each is None for each in texts)

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the columns of the view `ledger.studies`. Each value in a condition is a bind
        parameter.
        """
        age = func.ledger.clock() - _studies.c.created_at
        found: list[ColumnElement[bool]] = []
        if self.states:
            found.append(_studies.c.state.in_(list(self.states)))
        if self.tags:
            found.append(_studies.c.tags.contains(list(self.tags)))
        patterns = {_studies.c.name: self.name, _studies.c.objective_name: self.objective}
        for column, pattern in {**patterns, _studies.c.dataset: self.dataset}.items():
            if pattern is not None:
                found.append(column.like(like_pattern(pattern), escape="\\"))
        if self.newer is not None:
            found.append(age <= self.newer)
        if self.older is not None:
            found.append(age >= self.older)
        if self.archived is not None:
            found.append(_studies.c.archived_at.is_not(None) if self.archived else _studies.c.archived_at.is_(None))
        return found


def read(
    connection: Connection,
    chosen: StudyFilter,
    order: Order = "created",
    *,
    reverse: bool = False,
    limit: int | None = None,
) -> list[ProgressRow]:
    """Return the progress of the chosen studies.

    Parameters
    ----------
    order : {"created", "name", "best", "trials", "seconds"}
        The property by which the function sorts the studies, in ascending order. "created" is the time of creation,
        "best" is the best loss, "trials" is the number of ended trials, and "seconds" is the duration of the study. If
        the order is "best", the studies without a complete trial come last.
    reverse : bool
        Whether to reverse the order.
    limit : int or None
        Maximum number of studies, at least 1.
    """
    studies = select(_studies.c.name, _studies.c.id).where(*chosen.conditions())
    if limit is not None and order in ("created", "name"):
        # With the clause "limit", the database computes the progress only for the studies that the list shows.
        first = {"created": _studies.c.created_at, "name": _by_bytes(_studies.c.name)}[order]
        studies = studies.order_by(*_directed([first, _studies.c.id], reverse)).limit(limit)
    of = studies.subquery("chosen")
    # Without the clause "offset 0", PostgreSQL could compute the progress of all studies of the ledger.
    progress = (
        select(*(_progress.c[name] for name in columns(ProgressRow)), _ended.label("all_ended"))
        .where(_progress.c.study == of.c.name)
        .offset(literal(0))
        .lateral("shown")
    )
    keys: Mapping[str, ColumnElement[Any]] = {
        "created": progress.c.created_at,
        "name": _by_bytes(progress.c.study),
        "best": progress.c.best_loss,
        "trials": progress.c.all_ended,
        "seconds": progress.c.elapsed,
    }
    statement: Select[Any] = (
        select(*(progress.c[name] for name in columns(ProgressRow)))
        .select_from(of.join(progress, true()))
        .order_by(*_directed([keys[order], of.c.id], reverse))
    )
    if limit is not None:
        statement = statement.limit(limit)
    with connection.begin():
        return fetch(connection, ProgressRow, statement)


def like_pattern(pattern: str) -> str:
    """Convert a pattern with ``*`` and ``?`` into a pattern of the SQL operator LIKE.

    Examples
    --------
    >>> like_pattern("svm_*-4?")
    'svm\\\\_%-4_'
    """
    special = {"*": "%", "?": "_", "%": "\\%", "_": "\\_", "\\": "\\\\"}
    return "".join(special.get(character, character) for character in pattern)


def age(value: object, name: str) -> timedelta:
    """Convert an age into a timedelta.

    Parameters
    ----------
    value : timedelta, int, float or str
        A timedelta, a number of seconds, or a text that contains a number and a unit. The unit is s, m, h, d or w.
    name : str
        Name of the argument, for the error message.

    Raises
    ------
    UsageError
        The value is not an age from 0 to 100 years.

    Examples
    --------
    >>> age("36h", "newer")
    datetime.timedelta(days=1, seconds=43200)
    >>> age("soon", "newer")
    Traceback (most recent call last):
    ledger.errors.UsageError: newer: "soon" is no age: write a number with a unit, such as 30m, 36h, 7d or 2w
    """
    seconds: float | None = None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= _OLDEST else None
    elif isinstance(value, str) and (match := _AGE.fullmatch(value.strip())):
        seconds = float(match[1]) * _UNITS[match[2]]
    if seconds is None or not 0 <= seconds <= _OLDEST:
        raise UsageError(f"{name}: {show(value)} is no age: write a number with a unit, such as 30m, 36h, 7d or 2w")
    return timedelta(seconds=seconds)


def _by_bytes(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the SQL expression that sorts studies by name. The order of the names does not depend on the language of
    the database.
    """
    return column.collate("C")


def _directed(keys: list[ColumnElement[Any]], reverse: bool) -> list[ColumnElement[Any]]:
    return [(key.desc() if reverse else key.asc()).nulls_last() for key in keys]


def _check(what: str, value: object, longest: int) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{what}: {show(value)} is no text")
    if fault := text_fault(value, longest):
        raise UsageError(f"{what}: {fault}")
