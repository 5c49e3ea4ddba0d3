"""Sections of a report. A section has a title, a caption and plots."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go


@dataclass(frozen=True)
class CaptionedFigure:
    """A Plotly figure with a caption that describes the figure in words."""

    figure: go.Figure
    caption: str


@dataclass(frozen=True)
class ReportSection:
    """A section of a report, with plots under one title.

    If the section has no plots, the caption states the reason.

    Attributes
    ----------
    name : str
        Name of the section. On the page, the HTML id of the section is the name of the section. The option `--plot` of
        `ledger report` accepts the names of the sections.
    title, caption : str
    plots : sequence of CaptionedFigure
        The plots, in the order in which the page shows the plots. A section may have no plots.
    size : tuple of int
        Width and height of the image of one figure, in pixels.
    """

    name: str
    title: str
    caption: str
    plots: Sequence[CaptionedFigure] = field(default_factory=list)
    size: tuple[int, int] = (900, 420)
