"""The steps that early stopping has saved in a study."""

from typing import NamedTuple

from sqlalchemy import Connection

from ledger.database.bounds import LARGEST_STEP, LONGEST_SECONDS
from ledger.database.selecting import query


class SavedSteps(NamedTuple):
    """The steps that the pruned trials of a study did not train.

    Attributes
    ----------
    steps : int
    seconds : float or None
        Estimated training time of these steps. None if the seconds per step are unknown for each pruned trial.
    """

    steps: int
    seconds: float | None


def read(connection: Connection, study_id: int) -> SavedSteps:
    """Read the saved steps of a study with a rule of early stopping. The caller has begun a transaction."""
    bounds = {"largest_step": LARGEST_STEP, "longest_seconds": LONGEST_SECONDS}
    row = connection.execute(query("saved_steps"), {"study": study_id, **bounds}).one()
    return SavedSteps(int(row.steps), row.seconds)
