"""Sections of a report: plots under one title, with captions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go


@dataclass(frozen=True)
class Plot:
    """A figure, and a caption that describes it in words."""

    figure: go.Figure
    caption: str


@dataclass(frozen=True)
class Section:
    """Plots under one title. Where there is nothing to plot, the caption gives the reason.

    Attributes
    ----------
    name : str
        The value of `ledger report --plot`.
    title, caption : str
    plots : sequence of Plot
        In the order of the page; may be empty.
    size : tuple of int
        Width and height in pixels of one figure drawn as an image.
    """

    name: str
    title: str
    caption: str
    plots: Sequence[Plot] = field(default_factory=list)
    size: tuple[int, int] = (900, 420)
