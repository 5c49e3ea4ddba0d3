"""Import of finished trials from a file or from another program into a study.

The imported trials become observations of the study.
"""

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
    """A finished trial from outside the ledger. The ledger has not yet checked the parameters and the loss of the
    trial.

    Attributes
    ----------
    place : str
        The place from which the trial comes, for error messages. An example is "old.csv:3" for a line of a file.
    read : callable
        A function whose argument is the search space. The function returns the point and the loss of the trial. The
        function raises UsageError if the point or the loss is not valid.
    """

    place: str
    read: Callable[[Space], ExternalTrial]


@dataclass
class CheckedTrials:
    """The result of the check of imported trials: the valid trials, and an error message for each other trial.

    `repeated` is the number of trials whose point the study already has.
    """

    finished: list[ExternalTrial] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    repeated: int = 0


def gather(
    place: str, rows: Iterable[UncheckedTrial], space: Space, recorded: Mapping[str, str], *, skip_unusable: bool
) -> CheckedTrials:
    """Check finished trials. Two trials must not have the same point of the search space.

    Parameters
    ----------
    place : str
        Name of the source of the trials, for error messages.
    recorded : mapping
        The points of the study's trials. Each key is the `point_key` of a point, and each value is a text that
        describes the trial with the point.
    skip_unusable : bool
        If `skip_unusable` is True, the function leaves out unusable rows. If `skip_unusable` is False, the function
        raises UsageError for the first unusable row.

    Raises
    ------
    UsageError
        `skip_unusable` is False and at least one row is unusable, or `skip_unusable` is True and every row is unusable.
        A row is unusable if the row's point or loss is not valid, or if another trial already has the same point as the
        row. With `skip_unusable`, the function raises no error if every row is unusable, but the study already has one
        of the points. In this case, the user has repeated the import.
    """
    history = CheckedTrials()
    taken = dict(recorded)
    for row in rows:
        is_recorded = False
        try:
            finished = row.read(space)
            key = point_key(finished.params)
            is_recorded = key in recorded
            if key in taken:
                raise UsageError(f"the parameters are the same as in {taken[key]}")
        except UsageError as error:
            if not skip_unusable:
                raise UsageError(f"{row.place}: {error}; correct the row, or use --skip-unusable") from None
            history.left_out.append(f"{row.place}: {error}")
            history.repeated += is_recorded
        else:
            taken[key] = row.place
            history.finished.append(finished)
    # If the user repeats an import, the import finds only trials that the study already has.
    if not history.finished and not history.repeated:
        why = f": the first of {len(history.left_out)} errors is {history.left_out[0]}" if history.left_out else ""
        raise UsageError(f"{place}: the ledger can import none of the finished trials{why}")
    return history


def import_history(
    connection: Connection,
    study: StudyRow,
    place: str,
    rows: Callable[[Space], Iterable[UncheckedTrial]],
    *,
    skip_unusable: bool,
) -> tuple[int | None, CheckedTrials]:
    """Import finished trials into a study.

    The function returns the number of the first imported trial, or None if it has imported no trial. The function also
    returns the `CheckedTrials` that `gather` has returned. If the ledger refuses one of the trials, the function
    imports no trial.

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
    if not history.finished:
        return None, history
    losses = [trial.loss for trial in history.finished if trial.pruned_step is None]
    mean = mean_loss(losses) if losses else None
    return trials.import_finished(connection, study.id, history.finished, mean), history


def finite_number(kind: str, number: float) -> float:
    """Return `number`, or raise UsageError if `number` is not finite."""
    if not math.isfinite(number):
        raise UsageError(f"the {kind} {show(number)} is not finite")
    return number + 0.0
