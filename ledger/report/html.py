"""HTML pages with plots. A page is one file that loads nothing from the network."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import plotly
from plotly.offline import get_plotlyjs

from ledger.report import theme
from ledger.report.section import ReportSection

_FOLDER = Path(__file__).parent / "page"


def page_of(template: str, sections: Sequence[ReportSection], **values: Any) -> str:
    """Return a page as HTML.

    The page contains Plotly's JavaScript. The page's content security policy forbids all network connections. The
    function escapes HTML characters in all texts of `values` and of the sections.

    Parameters
    ----------
    template : str
        The name of a file in the folder `page`.
    sections : sequence of ReportSection
        The sections with plots. The template shows each section.
    **values
        Additional values that the template uses.
    """
    figures = {
        f"{section.name}-{index}": plot.figure.to_plotly_json()
        for section in sections
        for index, plot in enumerate(section.plots)
    }
    drawn = {"figures": figures, "templates": {scheme: theme.template(scheme) for scheme in ("light", "dark")}}
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return templates.get_template(template).render(
        sections=sections,
        figures=_script(json.dumps(drawn, cls=plotly.utils.PlotlyJSONEncoder)),
        plotly=_script_text(get_plotlyjs()),
        **values,
    )


def moment(time: datetime) -> str:
    """Return a time as text, in UTC."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _script(text: str) -> markupsafe.Markup:
    """Escape the JSON text `text`, so that the text cannot end the surrounding script element."""
    return _script_text(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _script_text(text: str) -> markupsafe.Markup:
    return markupsafe.Markup(text)  # noqa: S704, Plotly's own, or escaped by the caller
