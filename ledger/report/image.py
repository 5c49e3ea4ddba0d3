"""One plot as a picture, drawn by a browser."""

import math

import kaleido
import plotly.graph_objects as go
from choreographer.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError
from plotly.subplots import make_subplots

from ledger.errors import LedgerError
from ledger.report import theme
from ledger.report.plots import Section
from ledger.text import one_line

# Pixels of the screen a pixel of the layout: for print and for dense displays.
SCALE = 2
COLUMNS = 3


def png(section: Section) -> bytes:
    """Return a section's plots, several of them beside one another, as a PNG on white ground.

    Raises
    ------
    LedgerError
        There is nothing to draw, or no browser to draw it.
    """
    if not section.plots:
        raise LedgerError(f"there is no plot {section.name} of this study yet: {section.caption}")
    figure, (width, height) = _together(section)
    left = max(figure.layout.margin.l or 0, 24)
    figure.update_layout(
        template=theme.template("light"),
        paper_bgcolor="white",
        title={"text": section.title},
        margin={"l": left, "r": 24, "t": 100, "b": 20},
    )
    try:
        # plotly.js is that of the installed package; MathJax would be fetched from afar
        image: bytes = kaleido.calc_fig_sync(
            figure.to_dict(),
            opts={"format": "png", "width": width, "height": height, "scale": SCALE},
            kopts={"page_generator": kaleido.PageGenerator(mathjax=False)},
        )
    except ChromeNotFoundError:
        raise LedgerError(
            "a PNG is drawn by Chromium or Chrome, and none is there: install one (Debian: apt-get install chromium),"
            " or name it in BROWSER_PATH; the page, `ledger report NAME --output report.html`, needs none"
        ) from None
    except (BrowserFailedError, BrowserClosedError) as error:
        raise LedgerError(
            f"the browser that draws a PNG did not start or stay ({one_line(str(error.args[0]))}): name another one in"
            " BROWSER_PATH; the page, `ledger report NAME --output report.html`, needs none"
        ) from None
    return image


def _together(section: Section) -> tuple[go.Figure, tuple[int, int]]:
    """Return a section's plots as one figure, and its size."""
    width, height = section.size
    if len(section.plots) == 1:
        return go.Figure(section.plots[0].figure), (max(width, 600), height + 40)
    columns = min(COLUMNS, len(section.plots))
    rows = math.ceil(len(section.plots) / columns)
    figure = make_subplots(
        rows, columns, horizontal_spacing=0.24 / columns, vertical_spacing=min(0.24, 90 / (height * rows))
    )
    for index, plot in enumerate(section.plots):
        row, column = index // columns + 1, index % columns + 1
        for trace in plot.figure.data:
            figure.add_trace(trace, row=row, col=column)
        figure.update_xaxes(plot.figure.layout.xaxis.to_plotly_json(), row=row, col=column)
        figure.update_yaxes(plot.figure.layout.yaxis.to_plotly_json(), row=row, col=column)
        for shape in plot.figure.layout.shapes:
            figure.add_vline(x=shape.x0, line=shape.line, row=row, col=column)
    figure.update_layout(showlegend=False)
    return figure, (width * columns, height * rows + 80)
