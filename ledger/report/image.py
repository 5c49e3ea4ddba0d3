"""Plots as PNG images that a browser draws."""

import math

import kaleido
import plotly.graph_objects as go
from choreographer.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError
from plotly.subplots import make_subplots

from ledger.errors import LedgerError
from ledger.report import theme
from ledger.report.section import ReportSection
from ledger.text import one_line

# Number of image pixels per layout pixel, in each direction. Printers and high-resolution displays need more than one
# image pixel per layout pixel.
SCALE = 2
COLUMNS = 3


def png(section: ReportSection) -> bytes:
    """Return a section's plots as one PNG image on a white background. Several plots form a grid in the image.

    Raises
    ------
    LedgerError
        The section has no plots, no browser is installed, or the browser does not start or crashes.
    """
    if not section.plots:
        raise LedgerError(f"plot {section.name} cannot be drawn for this study yet: {section.caption}")
    figure, (width, height) = _combined(section)
    left = max(figure.layout.margin.l or 0, 24)
    figure.update_layout(
        template=theme.template("light"),
        paper_bgcolor="white",
        title={"text": section.title},
        margin={"l": left, "r": 24, "t": 100, "b": 20},
    )
    try:
        # MathJax is off, because the browser would load MathJax over the network. The browser loads plotly.js from the
        # installed package plotly.
        image: bytes = kaleido.calc_fig_sync(
            figure.to_dict(),
            opts={"format": "png", "width": width, "height": height, "scale": SCALE},
            kopts={"page_generator": kaleido.PageGenerator(mathjax=False)},
        )
    except ChromeNotFoundError:
        raise LedgerError(
            "a PNG needs Chromium or Chrome, and neither is installed: install one of the two browsers, for example by"
            " `apt-get install chromium`, or set BROWSER_PATH to the path of a browser; `ledger report NAME --output"
            " report.html` needs no browser"
        ) from None
    except (BrowserFailedError, BrowserClosedError) as error:
        raise LedgerError(
            f"the browser for the PNG did not start, or crashed ({one_line(str(error.args[0]))}): set BROWSER_PATH"
            " to another browser; `ledger report NAME --output report.html` needs no browser"
        ) from None
    return image


def _combined(section: ReportSection) -> tuple[go.Figure, tuple[int, int]]:
    """Return a section's plots as one figure, and the width and the height of this figure in pixels."""
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
