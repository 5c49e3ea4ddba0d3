"""Axes of plots: of losses, of a parameter, and of parallel coordinates."""

import math
from typing import Any

from ledger.report import labels
from ledger.report.content import Content
from ledger.study.space import Categorical, Dimension, Integer
from ledger.text import one_line

# Losses get a logarithmic axis where the largest is at least this many times the smallest.
LOGARITHMIC_RATIO = 50


def loss_axis(content: Content) -> dict[str, Any]:
    """Return the axis of losses; there is at least one."""
    if is_logarithmic(content):
        losses = [trial.result for trial in content.complete]
        decades = math.log10(max(losses)) - math.log10(min(losses))
        return {"title": {"text": "loss (log)"}, "type": "log", "dtick": math.ceil(decades / 6)}
    return {"title": {"text": "loss"}}


def is_logarithmic(content: Content) -> bool:
    """Return whether the losses are drawn on a logarithmic axis."""
    losses = [trial.result for trial in content.complete]
    return bool(min(losses) > 0 and max(losses) / min(losses) >= LOGARITHMIC_RATIO)


def parameter_layout(dimension: Dimension) -> dict[str, Any]:
    """Return the layout of a small plot of one parameter."""
    return {
        "height": 270,
        "showlegend": False,
        "margin": {"l": 10, "r": 14, "t": 12, "b": 10},
        "xaxis": _parameter_axis(dimension),
    }


def _parameter_axis(dimension: Dimension) -> dict[str, Any]:
    title = {"title": {"text": labels.escaped(dimension.name, 40)}}
    if isinstance(dimension, Categorical):
        size = len(dimension.choices)
        longest = min(18, max(7, 36 // size))
        names = [labels.escaped(labels.value(choice), longest) for choice in dimension.choices]
        return {**title, "tickvals": list(range(size)), "ticktext": names, "range": [-0.6, size - 0.4]}
    margin = 0.03
    if dimension.prior == "log-uniform":
        low, high = math.log10(dimension.low), math.log10(dimension.high)
        # ticks at decades where there are several decades, but at most about four ticks
        ticks = {"dtick": math.ceil((high - low) / 4)} if high - low >= 2 else {}
        edge = margin * (high - low)
        return {**title, "type": "log", "range": [low - edge, high + edge], **ticks}
    edge = margin * (dimension.high - dimension.low)
    return {**title, "range": [dimension.low - edge, dimension.high + edge], "nticks": 6}


def parallel_axis(dimension: Dimension, values: list[Any]) -> dict[str, Any]:
    """Return a parameter's axis of parallel coordinates, with its values."""
    label = {"label": labels.escaped(dimension.name, 16)}
    if isinstance(dimension, Categorical):
        # tick labels are the only text that Plotly does not interpret
        names = [one_line(labels.value(choice), 14) for choice in dimension.choices]
        edge = 0.0 if len(names) > 1 else 1.0
        return {
            **label,
            "values": [dimension.choices.index(value) for value in values],
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": [-edge, len(names) - 1 + edge],
        }
    if dimension.prior == "log-uniform":
        ends = [math.log10(dimension.low), math.log10(dimension.high)]
        return {**label, "values": [math.log10(value) for value in values], "range": ends, **_decade_ticks(ends)}
    span = dimension.high - dimension.low
    ticks: list[float]
    if isinstance(dimension, Integer) and span <= 12:
        ticks = list(range(dimension.low, dimension.high + 1))
    else:
        ticks = [dimension.low + span * quarter / 4 for quarter in range(5)]
    return {
        **label,
        "values": values,
        "range": [dimension.low, dimension.high],
        "tickvals": ticks,
        "ticktext": [labels.number(tick, 4) for tick in ticks],
    }


def parallel_loss_axis(losses: list[float], *, logarithmic: bool) -> dict[str, Any]:
    """Return the axis of losses of parallel coordinates, with its values."""
    if not logarithmic:
        low, high = min(losses), max(losses)
        ticks = [low * (1 - quarter / 4) + high * quarter / 4 for quarter in range(5)] if high > low else [low]
        texts = [labels.number(tick, 4) for tick in ticks]
        return {"label": "loss", "values": losses, "tickvals": ticks, "ticktext": texts}
    logarithms = [math.log10(loss) for loss in losses]
    return {"label": "loss", "values": logarithms, **_decade_ticks(logarithms)}


def _decade_ticks(logarithms: list[float]) -> dict[str, Any]:
    """Return ticks at decades, or at both ends and the middle where there are fewer than three decades."""
    low, high = min(logarithms), max(logarithms)
    step = max(1, round((high - low) / 6))
    positions: list[float] = list(range(math.ceil(low), math.floor(high) + 1, step))
    if len(positions) < 3:
        positions = sorted({low, (low + high) / 2, high})
    return {"tickvals": positions, "ticktext": [labels.number(10**position, 4) for position in positions]}
