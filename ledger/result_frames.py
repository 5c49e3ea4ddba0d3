"""Functions that read a study's trials and reports into pandas data frames."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ledger.access import connected
from ledger.database import reports, studies
from ledger.errors import LedgerError
from ledger.keywords import trial_number
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


def trials_frame(
    trials: Sequence[Any], attributes: Sequence[str], space: Sequence[Mapping[str, Any]], expanded: Sequence[str]
) -> "pd.DataFrame":
    """Return trials as a data frame. The docstring of `StudyResult.trials_dataframe` describes the data frame.

    Parameters
    ----------
    trials : sequence of Trial
    attributes : sequence of str
        The attributes of a trial.
    space : sequence of dict
        The dimensions of the search space, as in the study's spec.
    expanded : sequence of str
        The attributes whose value is a dict. The data frame has a column for each key of each dict.
    """
    pd = pandas_for("trials_dataframe()")
    rows = []
    for trial in trials:
        row = {name: value for name, value in vars(trial).items() if name not in expanded}
        for attribute in expanded:
            row |= {f"{attribute}_{name}": value for name, value in getattr(trial, attribute).items()}
        rows.append(row)
    keys = {
        attribute: sorted({name for trial in trials for name in getattr(trial, attribute)}) for attribute in expanded
    }
    keys["params"] = [dimension["name"] for dimension in space]
    columns = [
        *(name for name in attributes if name not in expanded),
        *(f"{attribute}_{name}" for attribute in expanded for name in keys[attribute]),
    ]
    frame = pd.DataFrame(rows, columns=columns)
    for dimension in space:
        if None in dimension.get("choices", ()):
            # By default, pandas converts None to NaN.
            column = f"params_{dimension['name']}"
            frame[column] = pd.Series([row.get(column) for row in rows], dtype=object)
    return frame.set_index("number")


def reports_frame(name: str, settings: Settings, trial: int | None) -> "pd.DataFrame":
    """Read the reports of a study or of one trial into a data frame. The docstring of `StudyResult.reports` describes
    the data frame.
    """
    trial = trial_number("reports", trial)
    pd = pandas_for("reports()")
    with connected(settings) as connection:
        study = studies.get(connection, name)
        read = [row for page in reports.pages(connection, study.id, trial=trial) for row in page]
    frame = pd.DataFrame({column: [getattr(row, column) for row in read] for column in _COLUMNS})
    frame["value"] = frame["value"].astype(float)
    for metric in sorted({metric for row in read for metric in row.metrics or {}}):
        frame[f"metrics_{metric}"] = [(row.metrics or {}).get(metric) for row in read]
    return frame
