"""Imports finished trials of any source as observations of a study."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ledger.database import trials
from ledger.database.rows import StudyRow
from ledger.database.trials import FinishedTrial
from ledger.errors import UsageError
from ledger.proposals import mean_loss
from ledger.study.points import point_key
from ledger.study.space import Space
from ledger.text import show


@dataclass(frozen=True)
class HistoryRow:
    """A finished trial in another source, before it is checked.

    Attributes
    ----------
    place : str
        Place of the trial in the source, such as "old.csv:3".
    read : callable
        Function that returns the trial's point of the space with its loss. The function raises UsageError if the trial
        is wrong.
    """

    place: str
    read: Callable[[Space], FinishedTrial]


@dataclass
class History:
    """The usable trials of a source, and the reasons why other trials are left out."""

    finished: list[FinishedTrial] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def gather(
    place: str, rows: Iterable[HistoryRow], space: Space, recorded: Mapping[str, str], *, skip_unusable: bool
) -> History:
    """Read rows as points of the space, and refuse equal points.

    Parameters
    ----------
    place : str
        Name of the source, for messages.
    recorded : mapping
        The points that the study already has. The mapping contains a description of the trial for the key of each
        point.
    skip_unusable : bool
        Whether to leave out unusable rows, instead of refusing all rows.

    Raises
    ------
    UsageError
        A row is outside the space or repeats the point of another trial, or no row is usable.
    """
    history = History()
    taken = dict(recorded)
    for row in rows:
        try:
            finished = row.read(space)
            key = point_key(finished.params)
            if key in taken:
                raise UsageError(f"the parameters are those of {taken[key]}")
        except UsageError as error:
            if not skip_unusable:
                raise UsageError(f"{row.place}: {error}; correct the row, or use --skip-unusable") from None
            history.left_out.append(f"{row.place}: {error}")
        else:
            taken[key] = row.place
            history.finished.append(finished)
    if not history.finished:
        why = f": the first of {len(history.left_out)} is {history.left_out[0]}" if history.left_out else ""
        raise UsageError(f"{place}: there is no finished trial that can be used{why}")
    return history


def import_history(
    connection: Connection,
    study: StudyRow,
    place: str,
    rows: Callable[[Space], Iterable[HistoryRow]],
    *,
    skip_unusable: bool,
) -> tuple[int, History]:
    """Import all finished trials into a study, or none of them.

    The function returns the number of the first imported trial, and the history that was read.

    Raises
    ------
    UsageError
        The function `gather` refuses the rows. Nothing is written.
    LedgerError
        The study was cancelled.
    """
    space = Space.from_json(study.spec["space"])
    recorded = {
        point_key(space.normalise(trial.params)): f"trial {trial.number} of study {study.name}, which is {trial.state}"
        for trial in trials.all_of(connection, study.id)
        if trial.retry_of is None
    }
    history = gather(place, rows(space), space, recorded, skip_unusable=skip_unusable)
    first = trials.import_finished(
        connection, study.id, history.finished, mean_loss([trial.loss for trial in history.finished])
    )
    return first, history


def finite_loss(value: float) -> float:
    """Return a loss, or raise UsageError if the loss is not finite."""
    if not math.isfinite(value):
        raise UsageError(f"the loss {show(value)} is not finite")
    return value + 0.0
