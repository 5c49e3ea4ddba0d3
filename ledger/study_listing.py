"""The function `list_studies`, which lists the studies of a ledger for a Python program."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from ledger.access import connected
from ledger.database import study_list
from ledger.database.study_list import Order, StudyFilter
from ledger.errors import UsageError
from ledger.keywords import known_keywords
from ledger.objectives import Direction
from ledger.settings import settings_of
from ledger.text import nearest, show

Age = timedelta | float | str


@dataclass(frozen=True)
class StudySummary:
    """A summary of one study. The function `list_studies` returns a list of summaries.

    Attributes
    ----------
    name : str
        The study's name.
    state : {"running", "paused", "complete", "failed", "cancelled"}
        The study's state.
    tags : tuple of str
        The study's tags in alphabetical order.
    direction : {"minimize", "maximize"}
        "minimize" if the lowest value is the best value, or "maximize" if the highest value is the best value.
    best_value : float or None
        The best value of the study. None if no trial is complete.
    budget : int
        The number of trials that the optimizer may propose.
    complete, pruned, running, paused, pending, failed, cancelled : int
        The number of the study's trials in each state.
    created_at : datetime
        The time of the study's creation, by the database's clock, as a datetime with a time zone.
    seconds : float
        The time in seconds from the creation of the study to the end of the study. If the study has not ended,
        `seconds` is the time from the creation of the study to the present.
    archived : bool
        Whether the study is archived.

    Examples
    --------
    >>> import ledger
    >>> (study,) = ledger.list_studies(name="parabola")
    >>> study.state, study.complete
    ('complete', 6)
    """

    name: str
    state: str
    tags: tuple[str, ...]
    direction: Direction
    best_value: float | None
    budget: int
    complete: int
    pruned: int
    running: int
    paused: int
    pending: int
    failed: int
    cancelled: int
    created_at: datetime
    seconds: float
    archived: bool


@known_keywords
def list_studies(
    *,
    state: str | Collection[str] = (),
    tag: str | Collection[str] = (),
    name: str | None = None,
    objective: str | None = None,
    dataset: str | None = None,
    newer: Age | None = None,
    older: Age | None = None,
    archived: bool | None = False,
    sort: Order = "created",
    reverse: bool = False,
    limit: int | None = None,
    database: str | None = None,
) -> list[StudySummary]:
    """Return a list of the studies of the ledger.

    Parameters
    ----------
    state : str or collection of str
        One or more states. The function lists only the studies that are in one of the given states.
    tag : str or collection of str
        One or more tags. The function lists only the studies that have all given tags.
    name, objective, dataset : str, optional
        A pattern for the name, the objective or the dataset of a study. The function lists only the studies that match
        all given patterns. In a pattern, ``*`` matches any number of characters, and ``?`` matches exactly one
        character.
    newer, older : timedelta, float or str, optional
        The largest age (`newer`) or the smallest age (`older`) of the listed studies. An age is a number of seconds, or
        a text that consists of a number and a unit, such as "36h" or "7d".
    archived : bool or None
        With True, the function lists only the archived studies. With False, the function lists only the studies that
        are not archived. With None, the function lists all studies.
    sort : {"created", "name", "best", "trials", "seconds"}
        The order of the studies. "created" lists the oldest study first. "name" sorts the studies by name. "best" lists
        the study with the lowest loss first. "trials" lists the study with the fewest ended trials first. "seconds"
        lists the study with the shortest duration first.
    reverse : bool
        Whether to reverse the order of the studies.
    limit : int, optional
        The maximum number of studies, at least 1.
    database : str, optional
        The URL of the ledger's PostgreSQL database. By default, the function uses the same database as `Study`.

    Returns
    -------
    list of StudySummary

    Raises
    ------
    UsageError
        An argument is invalid.
    LedgerError
        The ledger does not exist, or the database is unavailable.

    Examples
    --------
    >>> import ledger
    >>> [study.name for study in ledger.list_studies(name="para*", state="complete")]
    ['parabola']
    >>> ledger.list_studies(sort="size")
    Traceback (most recent call last):
    ledger.errors.UsageError: sort: there is no order "size"; there are created, name, best, trials, seconds
    """
    if sort not in study_list.ORDERS:
        raise UsageError(f"sort: there is no order {show(sort)}{nearest(sort, study_list.ORDERS)}")
    if limit is not None and not (isinstance(limit, int) and 1 <= limit < 2**31):
        raise UsageError(f"limit: {show(limit)} is not a number of studies: give an integer of at least 1")
    chosen = StudyFilter(
        states=[state] if isinstance(state, str) else list(state),
        tags=[tag] if isinstance(tag, str) else list(tag),
        name=name,
        objective=objective,
        dataset=dataset,
        newer=None if newer is None else study_list.age(newer, "newer"),
        older=None if older is None else study_list.age(older, "older"),
        archived=archived,
    )
    with connected(settings_of(database)) as connection:
        rows = study_list.read(connection, chosen, sort, reverse=reverse, limit=limit)
    return [
        StudySummary(
            name=row.study,
            state=row.state,
            tags=tuple(row.tags),
            direction=cast("Direction", row.direction),
            best_value=row.best_value,
            budget=row.budget,
            complete=row.complete,
            pruned=row.pruned,
            running=row.running,
            paused=row.paused,
            pending=row.pending,
            failed=row.failed,
            cancelled=row.cancelled,
            created_at=row.created_at,
            seconds=row.elapsed.total_seconds(),
            archived=row.archived_at is not None,
        )
        for row in rows
    ]
