"""Imports finished trials from any source into a study, as observations of the study."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ledger.database import trials
from ledger.database.rows import StudyRow
from ledger.database.trials import ExternalTrial
from ledger.errors import UsageError
from ledger.proposals import mean_loss
from ledger.study.points import point_key
from ledger.study.space import Space
from ledger.text import show


@dataclass(frozen=True)
class UncheckedTrial:
    """A finished trial from outside the ledger, before the ledger checks the trial's parameters and loss.

    Attributes
    ----------
    place : str
        Place of the trial in the imported file or study, such as "old.csv:3".
    read : callable
        Function that takes the search space, and returns the trial's point and loss. The function raises UsageError if
        the point or the loss is not valid.
    """

    place: str
    read: Callable[[Space], ExternalTrial]


@dataclass
class CheckedTrials:
    """The trials of a source that have passed the check, and the reason for each trial that the ledger leaves out."""

    finished: list[ExternalTrial] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def gather(
    place: str, rows: Iterable[UncheckedTrial], space: Space, recorded: Mapping[str, str], *, skip_unusable: bool
) -> CheckedTrials:
    """Read finished trials as points of the search space, and refuse a point that equals the point of another trial.

    Parameters
    ----------
    place : str
        Name of the source, for error messages.
    recorded : mapping
        The points that the study already has. Each key is the `point_key` of a point, and each value describes the
        trial with this point.
    skip_unusable : bool
        Whether to leave out unusable rows. If `skip_unusable` is false, one unusable row makes the function refuse all
        rows.

    Raises
    ------
    UsageError
        A row is unusable and `skip_unusable` is false, or no row is usable. A row is unusable if the row's point or
        loss is not valid, or if another trial already has the same point as the row.
    """
    history = CheckedTrials()
    taken = dict(recorded)
    for row in rows:
        try:
            finished = row.read(space)
            key = point_key(finished.params)
            if key in taken:
                raise UsageError(f"the parameters are the same as in {taken[key]}")
        except UsageError as error:
            if not skip_unusable:
                raise UsageError(f"{row.place}: {error}; correct the row, or use --skip-unusable") from None
            history.left_out.append(f"{row.place}: {error}")
        else:
            taken[key] = row.place
            history.finished.append(finished)
    if not history.finished:
        why = f": the first of {len(history.left_out)} errors is {history.left_out[0]}" if history.left_out else ""
        raise UsageError(f"{place}: no finished trial can be imported{why}")
    return history


def import_history(
    connection: Connection,
    study: StudyRow,
    place: str,
    rows: Callable[[Space], Iterable[UncheckedTrial]],
    *,
    skip_unusable: bool,
) -> tuple[int, CheckedTrials]:
    """Import the usable trials of a source into a study. If the ledger refuses any trial, import no trial.

    The function returns the number of the first imported trial, and the `CheckedTrials` that `gather` has returned.

    Raises
    ------
    UsageError
        The function `gather` refuses the rows. If `gather` refuses the rows, `import_history` writes nothing to the
        ledger.
    LedgerError
        The study was cancelled.
    """
    space = Space.from_json(study.spec["space"])
    recorded = {
        point_key(space.normalise(trial.params)): f"trial {trial.number} ({trial.state}) of study {study.name}"
        for trial in trials.all_of(connection, study.id)
        if trial.retry_of is None
    }
    history = gather(place, rows(space), space, recorded, skip_unusable=skip_unusable)
    first = trials.import_finished(
        connection, study.id, history.finished, mean_loss([trial.loss for trial in history.finished])
    )
    return first, history


def finite_number(kind: str, number: float) -> float:
    """Return a loss or a value, or raise UsageError if the number is not finite."""
    if not math.isfinite(number):
        raise UsageError(f"the {kind} {show(number)} is not finite")
    return number + 0.0
