"""Functions that read a study's reports into pandas data frames."""

from typing import TYPE_CHECKING, Any

from ledger.access import connected
from ledger.database import reports, studies
from ledger.errors import LedgerError
from ledger.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("trial", "attempt", "step", "value", "seconds", "reported_at")


def pandas_for(method: str) -> Any:
    """Import the module pandas, and return the module. `method` is the name of the method that needs pandas. Raise a
    LedgerError if pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise LedgerError(
            f"{method} needs pandas, which is not installed: pip install 'trial-ledger[pandas]'"
        ) from None
    return pd


def reports_frame(name: str, settings: Settings, trial: int | None) -> "pd.DataFrame":
    """Read the reports of a study or of one trial into a data frame. The docstring of `StudyResult.reports` describes
    the data frame.
    """
    pd = pandas_for("reports()")
    with connected(settings) as connection:
        study = studies.get(connection, name)
        read = [row for page in reports.pages(connection, study.id, trial=trial) for row in page]
    frame = pd.DataFrame({column: [getattr(row, column) for row in read] for column in _COLUMNS})
    frame["value"] = frame["value"].astype(float)
    for metric in sorted({metric for row in read for metric in row.metrics or {}}):
        frame[f"metrics_{metric}"] = [(row.metrics or {}).get(metric) for row in read]
    return frame
