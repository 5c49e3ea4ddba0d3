"""Renders a comparison of studies as one HTML page that needs no other file."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger.report import labels
from ledger.report.comparison import StudyGroup
from ledger.report.comparison_plots import colour, comparison_sections
from ledger.report.comparison_tables import STUDY_COLUMNS, best_of, cell, param_rows, setting_rows, study_rows
from ledger.report.html import moment, page_of
from ledger.report.section import ReportSection
from ledger.text import one_line


@dataclass(frozen=True)
class _ColumnHeader:
    """The header of a table column on the comparison page. The header has a text and a colour."""

    text: str
    colour: str = ""


@dataclass(frozen=True)
class _TableRow:
    """A table row on the comparison page. The row has a name in the first column, and a cell in each other column."""

    name: str
    cells: Sequence[str]
    colour: str = ""
    is_best: bool = False


@dataclass(frozen=True)
class _HtmlTable:
    """A table on the comparison page, with the headers of the columns and with the rows."""

    columns: Sequence[_ColumnHeader]
    rows: Sequence[_TableRow]


def render_comparison(groups: Sequence[StudyGroup], at: datetime) -> str:
    """Return the page of a comparison as HTML.

    The page contains Plotly's JavaScript and loads nothing from the network. The function escapes HTML characters in
    all texts of the studies.

    Parameters
    ----------
    groups : sequence of StudyGroup
        The groups of studies that the page shows.
    at : datetime
        The time at which the program has read the studies from the ledger.
    """
    of_groups = [comparison_sections(group, number) for number, group in enumerate(groups)]
    studies = sum(len(group.studies) for group in groups)
    return page_of(
        "comparison.html",
        [section for sections in of_groups for section in sections],
        title=f"Comparison of {labels.plural(studies, 'study', 'studies')}",
        at=moment(at),
        groups=[_content(group, sections) for group, sections in zip(groups, of_groups, strict=True)],
    )


def _content(group: StudyGroup, sections: Sequence[ReportSection]) -> dict[str, Any]:
    rows = [
        _TableRow(study.name, [cell(value) for value in row[1:]], colour(index), study is group.best)
        for index, (study, row) in enumerate(zip(group.studies, study_rows(group), strict=True))
    ]
    named = [_ColumnHeader(one_line(study.name, 60), colour(index)) for index, study in enumerate(group.studies)]
    return {
        "title": group.title,
        "best": best_of(group),
        "studies": _HtmlTable([_ColumnHeader(name) for name in STUDY_COLUMNS], rows),
        "sections": sections,
        "params": _table("parameter", named, param_rows(group)),
        "settings": _table("setting", named, setting_rows(group)),
    }


def _table(name: str, named: Sequence[_ColumnHeader], rows: dict[str, list[str]]) -> _HtmlTable:
    return _HtmlTable(
        [_ColumnHeader(name), *named], [_TableRow(one_line(key, 120), values) for key, values in rows.items()]
    )
