"""Comparison of the results and the settings of several studies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path

from sqlalchemy import Connection

from ledger.access import connected
from ledger.database import studies, study_curves
from ledger.errors import LedgerError, UsageError
from ledger.export.files import whole_file
from ledger.keywords import known_keywords
from ledger.report.comparison import ComparedStudy, StudyGroup, group_studies
from ledger.settings import settings_of
from ledger.text import one_line, show

# Largest number of studies in a comparison.
MOST_STUDIES = 12


@dataclass(frozen=True)
class StudyComparison:
    """The result of the function `ledger.compare`: the compared studies, in groups of comparable studies.

    Attributes
    ----------
    groups : tuple of StudyGroup
        Groups of studies. The studies of a group have the same objective, dataset, metric and direction. The comparison
        has several groups only if the caller of `compare` has passed ``set_apart=True``.
    at : datetime
        The time when `compare` read the studies. The time comes from the database's clock, and has a time zone.

    Examples
    --------
    >>> import ledger
    >>> ledger.compare("parabola")
    <comparison of 1 study: parabola>
    """

    groups: tuple[StudyGroup, ...]
    at: datetime

    @property
    def studies(self) -> tuple[ComparedStudy, ...]:
        """The studies of all groups.

        Examples
        --------
        >>> import ledger
        >>> [study.name for study in ledger.compare("parabola").studies]
        ['parabola']
        """
        return tuple(study for group in self.groups for study in group.studies)

    @property
    def best(self) -> ComparedStudy:
        """The study with the best value.

        Raises
        ------
        LedgerError
            No trial is complete, or the comparison has several groups. The values of studies in different
            groups are not comparable.

        Examples
        --------
        >>> import ledger
        >>> ledger.compare("parabola").best.name
        'parabola'
        """
        if len(self.groups) > 1:
            raise LedgerError("the comparison has several groups, so it has no best study: use groups[0].best")
        best = self.groups[0].best
        if best is None:
            raise LedgerError("no study of the comparison has a complete trial yet: compare the studies again later")
        return best

    def write_html(self, path: str | Path) -> None:
        """Write the comparison to a file as one HTML page. A browser can show the page without a network connection.

        Parameters
        ----------
        path : str or Path
            The file to write. Other programs never see an incomplete file.

        Raises
        ------
        UsageError
            The folder of the file does not exist.
        LedgerError
            The file cannot be written.

        Examples
        --------
        >>> import ledger
        >>> ledger.compare("parabola").write_html("none/comparison.html")
        Traceback (most recent call last):
        ledger.errors.UsageError: write_html: none is not a folder; make the folder first
        """
        from ledger.report.comparison_page import render_comparison

        file = Path(path)
        if not file.parent.is_dir():
            raise UsageError(f"write_html: {one_line(str(file.parent))} is not a folder; make the folder first")
        page = render_comparison(self.groups, self.at)
        with whole_file(file) as opened:
            opened.write(page)

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows for the comparison."""
        from ledger.notebook.html import listing
        from ledger.report.comparison_tables import STUDY_COLUMNS, param_rows, setting_rows, study_rows

        parts = []
        for group in self.groups:
            names = [study.name for study in group.studies]
            parts.append(f"<div><b>{escape(group.title)}</b></div>{listing(STUDY_COLUMNS, study_rows(group))}")
            for title, rows in (("parameter", param_rows(group)), ("setting that differs", setting_rows(group))):
                if rows:
                    parts.append(listing([title, *names], [[name, *values] for name, values in rows.items()]))
        return f'<div style="overflow-x:auto">{"".join(parts)}</div>'

    def __repr__(self) -> str:
        count = len(self.studies)
        names = ", ".join(study.name for study in self.studies)
        return f"<comparison of {count} {'study' if count == 1 else 'studies'}: {names}>"


@known_keywords
def compare(*names: str, set_apart: bool = False, database: str | None = None) -> StudyComparison:
    """Compare studies that have the same objective, dataset, metric and direction.

    Parameters
    ----------
    names : str
        The names of 1 to 12 different studies.
    set_apart : bool
        Whether the comparison may have several groups. The studies of a group have the same objective, dataset, metric
        and direction. By default, the function raises an error if the studies need several groups.
    database : str, optional
        The PostgreSQL database of the ledger, as a libpq URL. By default, the function uses the same database as
        `Study`.

    Returns
    -------
    StudyComparison
        The comparison. If a study has more than 2,000 trials, the function reads only a selection of the trials.

    Raises
    ------
    UsageError
        The caller passes no names or more than 12 names, a name occurs twice, or the studies need several groups.
    LedgerError
        A study or the ledger does not exist, or the database is unavailable.

    Examples
    --------
    >>> import ledger
    >>> comparison = ledger.compare("parabola")
    >>> comparison.best.best_value == ledger.load_study("parabola").best_value
    True
    >>> ledger.compare("parabola", "parabula")
    Traceback (most recent call last):
    ledger.errors.LedgerError: there is no study 'parabula': did you mean parabola?
    """
    check_names(names)
    with connected(settings_of(database)) as connection:
        return read_comparison(connection, names, set_apart=set_apart)


def check_names(names: Sequence[str]) -> None:
    """Raise a UsageError if a name is not a string, if a name occurs twice, or if the number of names is less than 1 or
    greater than 12."""
    for name in names:
        if not isinstance(name, str):
            raise UsageError(
                f"compare: the name of a study must be a text, not {show(name)}; pass the name, such as result.name"
            )
    if not 1 <= len(names) <= MOST_STUDIES:
        raise UsageError(f"compare: {len(names)} studies are given; pass the names of 1 to {MOST_STUDIES} studies")
    for index, name in enumerate(names):
        if name in names[:index]:
            raise UsageError(f"compare: study {show(name)} is given twice; give each study once")


def read_comparison(connection: Connection, names: Sequence[str], *, set_apart: bool) -> StudyComparison:
    """Read a comparison from the ledger. The docstring of `compare` describes the parameters and the errors."""
    rows = [studies.get(connection, name) for name in names]
    curves = [study_curves.read(connection, row) for row in rows]
    return StudyComparison(group_studies(curves, set_apart=set_apart), max(curve.at for curve in curves))
