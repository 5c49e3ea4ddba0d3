"""Axes and Plotly traces of a parameter in the plots of a report. Each kind of dimension has its own axis class."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ledger.proposals.surrogate import PartialDependence
from ledger.report import labels
from ledger.report.axes import decade_ticks
from ledger.report.theme import GREEN
from ledger.study.dimensions import Categorical, Dimension, Integer, Real
from ledger.text import one_line

# Length of the empty space at each end of a numeric axis, as a share of the length of the axis.
_MARGIN = 0.03
# In a plot of parallel coordinates, an integer axis has a tick at each integer if ``high - low`` is at most `_TICKED`.
_TICKED = 12


class ParameterAxis(ABC):
    """The axis of one parameter in the plots of a report.

    Parameters
    ----------
    dimension : Dimension
    """

    def __init__(self, dimension: Any) -> None:
        self._dimension = dimension

    def layout(self) -> dict[str, Any]:
        """Return the layout of a small plot with the parameter on the horizontal axis."""
        title = {"title": {"text": labels.escaped(self._dimension.name, 40)}}
        return {
            "height": 270,
            "showlegend": False,
            "margin": {"l": 10, "r": 14, "t": 12, "b": 10},
            "xaxis": {**title, **self._axis()},
        }

    def parallel(self, values: list[Any]) -> dict[str, Any]:
        """Return the parameter's axis in a plot of parallel coordinates. The dict contains the position of each value
        on the axis."""
        return {"label": labels.escaped(self._dimension.name, 16), **self._parallel(values)}

    @abstractmethod
    def positions(self, values: Sequence[Any], random: np.random.Generator | None = None) -> list[Any]:
        """Return the positions of values on the axis.

        If `random` is given, a categorical axis shifts each position by a random offset, so that points with equal
        values rarely overlap.
        """

    @abstractmethod
    def dependence(self, curve: PartialDependence) -> list[go.Scatter]:
        """Return the Plotly traces that draw a partial dependence and its interval of uncertainty.

        The interval extends two standard deviations to each side of the partial dependence.
        """

    @abstractmethod
    def extent(self) -> str:
        """Return the range of the parameter, or the number of the parameter's choices, as text for a caption."""

    @abstractmethod
    def _axis(self) -> dict[str, Any]: ...

    @abstractmethod
    def _parallel(self, values: list[Any]) -> dict[str, Any]: ...


class NumericAxis(ParameterAxis):
    """The axis of a numeric parameter in the plots of a report."""

    _dimension: Real | Integer

    def positions(self, values: Sequence[Any], random: np.random.Generator | None = None) -> list[Any]:  # noqa: ARG002
        return list(values)

    def dependence(self, curve: PartialDependence) -> list[go.Scatter]:
        upper, lower = curve.mean + 2 * curve.deviation, curve.mean - 2 * curve.deviation
        return [
            go.Scatter(
                x=[*curve.values, *curve.values[::-1]],
                y=np.concatenate([upper, lower[::-1]]),
                fill="toself",
                fillcolor="rgba(0,158,115,0.22)",
                mode="lines",
                line={"width": 0},
                hoverinfo="skip",
            ),
            go.Scatter(
                x=curve.values,
                y=curve.mean,
                mode="lines",
                line={"color": GREEN, "width": 2.5},
                hovertemplate="%{x:.6g}<br>expected value %{y:.6g}<extra></extra>",
            ),
        ]

    def extent(self) -> str:
        scale = ", on a logarithmic axis" if self._is_logarithmic else ""
        return f"{labels.value(self._dimension.low)} to {labels.value(self._dimension.high)}{scale}"

    @property
    def _is_logarithmic(self) -> bool:
        return self._dimension.prior == "log-uniform"

    def _axis(self) -> dict[str, Any]:
        low, high = self._dimension.low, self._dimension.high
        if self._is_logarithmic:
            first, last = math.log10(low), math.log10(high)
            # A logarithmic axis over two or more decades has ticks only at powers of ten. A logarithmic axis over two
            # or more decades has at most five ticks.
            ticks = {"dtick": math.ceil((last - first) / 4)} if last - first >= 2 else {}
            edge = _MARGIN * (last - first)
            return {"type": "log", "range": [first - edge, last + edge], **ticks}
        edge = _MARGIN * (high - low)
        return {"range": [low - edge, high + edge], "nticks": 6}

    def _parallel(self, values: list[Any]) -> dict[str, Any]:
        low, high = self._dimension.low, self._dimension.high
        if self._is_logarithmic:
            ends = [math.log10(low), math.log10(high)]
            return {"values": [math.log10(value) for value in values], "range": ends, **decade_ticks(ends)}
        ticks = self._ticks()
        texts = [labels.number(tick, 4) for tick in ticks]
        return {"values": values, "range": [low, high], "tickvals": ticks, "ticktext": texts}

    def _ticks(self) -> list[float]:
        low, high = self._dimension.low, self._dimension.high
        return [low + (high - low) * quarter / 4 for quarter in range(5)]


class IntegerAxis(NumericAxis):
    """The axis of an integer parameter in the plots of a report.

    In a plot of parallel coordinates, the axis has a tick at each integer if the range of the parameter is small.
    """

    _dimension: Integer

    def _ticks(self) -> list[float]:
        low, high = self._dimension.low, self._dimension.high
        return list(range(low, high + 1)) if high - low <= _TICKED else super()._ticks()


class CategoricalAxis(ParameterAxis):
    """The axis of a categorical parameter in the plots of a report.

    Each choice has a position on the axis, and a tick whose label is the choice.
    """

    _dimension: Categorical

    def positions(self, values: Sequence[Any], random: np.random.Generator | None = None) -> list[Any]:
        indices = [self._dimension.index(value) for value in values]
        if random is None:
            return indices
        offsets = random.uniform(-0.25, 0.25, len(indices))
        return [index + offset for index, offset in zip(indices, offsets, strict=True)]

    def dependence(self, curve: PartialDependence) -> list[go.Scatter]:
        return [
            go.Scatter(
                x=self.positions(curve.values),
                y=curve.mean,
                error_y={"array": 2 * curve.deviation, "color": GREEN, "thickness": 2, "width": 6},
                mode="markers",
                marker={"color": GREEN, "size": 10},
                customdata=[labels.escaped(labels.value(value), 60) for value in curve.values],
                hovertemplate="%{customdata}<br>expected value %{y:.6g}<extra></extra>",
            )
        ]

    def extent(self) -> str:
        return labels.plural(self._dimension.size(), "choice", "choices")

    def _axis(self) -> dict[str, Any]:
        size = self._dimension.size()
        longest = min(18, max(7, 36 // size))
        names = [labels.escaped(labels.value(choice), longest) for choice in self._dimension.choices]
        return {"tickvals": list(range(size)), "ticktext": names, "range": [-0.6, size - 0.4]}

    def _parallel(self, values: list[Any]) -> dict[str, Any]:
        # The labels need no escapes, because Plotly does not interpret HTML in the tick labels of parallel coordinates.
        names = [one_line(labels.value(choice), 14) for choice in self._dimension.choices]
        edge = 0.0 if len(names) > 1 else 1.0
        return {
            "values": self.positions(values),
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": [-edge, len(names) - 1 + edge],
        }


_KINDS: dict[type[Dimension], type[ParameterAxis]] = {
    Real: NumericAxis,
    Integer: IntegerAxis,
    Categorical: CategoricalAxis,
}


def parameter_axis(dimension: Dimension) -> ParameterAxis:
    """Return the `ParameterAxis` that draws the parameter of a dimension.

    Examples
    --------
    >>> parameter_axis(Categorical("kernel", ("rbf", "linear"))).extent()
    '2 choices'
    >>> parameter_axis(Real("C", 0.001, 1000.0, "log-uniform")).extent()
    '0.001 to 1000, on a logarithmic axis'
    """
    return _KINDS[type(dimension)](dimension)
