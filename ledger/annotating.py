"""A use case: change the annotation of a study or of a trial."""

from ledger.access import connected
from ledger.database import annotations, studies
from ledger.database.annotations import AnnotationChange
from ledger.errors import UsageError
from ledger.keywords import trial_number
from ledger.settings import Settings


def annotate(name: str, settings: Settings, trial: int | None, change: AnnotationChange) -> None:
    """Change the annotation of a study or of one trial.

    Raises
    ------
    UsageError
        The change is empty, a value exceeds its bound, or `trial` is not the number of a trial.
    LedgerError
        The study or the trial does not exist, or the database is unavailable.
    """
    trial = trial_number("annotate", trial)
    if change.is_empty:
        raise UsageError("annotate: say what to change: pass tags, untag, note, attributes or remove")
    with connected(settings) as connection:
        annotations.annotate(connection, studies.get(connection, name), trial, change)
