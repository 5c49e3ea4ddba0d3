"""The rows of the tables of a comparison, for a terminal, a notebook and the HTML page."""

from typing import Any

from ledger.report import labels
from ledger.report.comparison import ComparedStudy, StudyGroup
from ledger.text import one_line

# Maximum length of the text in a cell of a table, in characters.
_LONGEST = 200
# The columns of the table that lists the studies of a comparison.
STUDY_COLUMNS = ("study", "state", "complete", "best", "trial", "seconds to best", "seconds")


def cell(value: Any) -> str:
    """Return the text that a comparison's table shows for a value. The text of None is "-". A float has six digits."""
    if value is None:
        return "-"
    return one_line(f"{value:.6g}" if isinstance(value, float) else str(value), _LONGEST)


def study_rows(group: StudyGroup) -> list[tuple[str | int | float | None, ...]]:
    """Return a row for each study of a group. `STUDY_COLUMNS` contains the names of the values in a row."""
    return [_row(study) for study in group.studies]


def _row(study: ComparedStudy) -> tuple[str | int | float | None, ...]:
    return (
        *(study.name, study.state, study.complete, study.best_value, study.best_trial),
        *(None if seconds is None else round(seconds, 1) for seconds in (study.best_seconds, study.elapsed_seconds)),
    )


def param_rows(group: StudyGroup) -> dict[str, list[str]]:
    """Return a row for each parameter. The row contains the parameter's value in each study's best trial, as text."""
    names = dict.fromkeys(name for study in group.studies for name in study.best_params)
    return {
        name: [
            cell(labels.value(study.best_params[name]) if name in study.best_params else None)
            for study in group.studies
        ]
        for name in names
    }


def setting_rows(group: StudyGroup) -> dict[str, list[str]]:
    """Return a row for each setting that differs between the studies. The row contains the setting's value in each
    study, as text.
    """
    return {name: [cell(value) for value in values] for name, values in group.differences.items()}


def best_of(group: StudyGroup) -> str:
    """Return a sentence about the best study of a group. The sentence is empty if no trial is complete."""
    best = group.best
    if best is None or best.best_value is None:
        return ""
    return (
        f"Study {one_line(best.name, _LONGEST)} has the best {group.value_name}: {best.best_value:.6g}, in trial"
        f" {best.best_trial}."
    )
