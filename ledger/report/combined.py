"""The plots of a section as one figure on a white background. The figure is for a PNG image or for a Python program."""

import math

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ledger.errors import LedgerError
from ledger.report import theme
from ledger.report.section import ReportSection

# Largest number of plots in a row of the grid.
COLUMNS = 3


def combined(section: ReportSection) -> tuple[go.Figure, tuple[int, int]]:
    """Return a section's plots as one figure, and the width and the height of this figure in pixels.

    Several plots form a grid in the figure.

    Raises
    ------
    LedgerError
        The section has no plots.
    """
    if not section.plots:
        raise LedgerError(f"plot {section.name} cannot be drawn for this study yet: {section.caption}")
    figure, size = _grid(section)
    left = max(figure.layout.margin.l or 0, 24)
    figure.update_layout(
        template=theme.template("light"),
        paper_bgcolor="white",
        title={"text": section.title},
        margin={"l": left, "r": 24, "t": 100, "b": 20},
    )
    return figure, size


def _grid(section: ReportSection) -> tuple[go.Figure, tuple[int, int]]:
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
    # All plots of a section use the same colour scale.
    colours = section.plots[0].figure.layout.coloraxis.to_plotly_json()
    figure.update_layout(showlegend=False, coloraxis=colours)
    return figure, (width * columns, height * rows + 80)
