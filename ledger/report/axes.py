"""Axes of the trials' values, and ticks of logarithmic axes."""

import math
from typing import Any

from ledger.report import labels
from ledger.report.content import ReportContent

# The axis of values is logarithmic if all values are positive, and if the largest value is at least `LOGARITHMIC_RATIO`
# times the smallest value.
LOGARITHMIC_RATIO = 50


def value_axis(content: ReportContent) -> dict[str, Any]:
    """Return the layout of the axis that shows the trials' values. At least one trial must be complete."""
    return axis_of_values(content.value_name, *content.values)


def axis_of_values(name: str, lowest: float, highest: float) -> dict[str, Any]:
    """Return the layout of an axis with the name `name`. The axis shows the values from `lowest` to `highest`."""
    if is_wide(lowest, highest):
        decades = math.log10(highest) - math.log10(lowest)
        return {"title": {"text": f"{name} (log)"}, "type": "log", "dtick": math.ceil(decades / 6)}
    return {"title": {"text": name}}


def is_logarithmic(content: ReportContent) -> bool:
    """Return whether the plot draws the values on a logarithmic axis."""
    return is_wide(*content.values)


def is_wide(lowest: float, highest: float) -> bool:
    """Return whether a plot draws numbers from `lowest` to `highest` on a logarithmic axis."""
    return lowest > 0 and highest / lowest >= LOGARITHMIC_RATIO


def parallel_value_axis(name: str, values: list[float], *, logarithmic: bool) -> dict[str, Any]:
    """Return the axis of the trials' values in a plot of parallel coordinates. The dict contains the position of each
    trial's value on the axis.
    """
    if not logarithmic:
        low, high = min(values), max(values)
        ticks = [low * (1 - quarter / 4) + high * quarter / 4 for quarter in range(5)] if high > low else [low]
        texts = [labels.number(tick, 4) for tick in ticks]
        return {"label": name, "values": values, "tickvals": ticks, "ticktext": texts}
    logarithms = [math.log10(value) for value in values]
    return {"label": name, "values": logarithms, **decade_ticks(logarithms)}


def decade_ticks(logarithms: list[float]) -> dict[str, Any]:
    """Return ticks at the powers of ten within the range of `logarithms`.

    If the range contains fewer than three ticks at powers of ten, return ticks at the two ends and at the middle of the
    range.
    """
    low, high = min(logarithms), max(logarithms)
    step = max(1, round((high - low) / 6))
    positions: list[float] = list(range(math.ceil(low), math.floor(high) + 1, step))
    if len(positions) < 3:
        positions = sorted({low, (low + high) / 2, high})
    return {"tickvals": positions, "ticktext": [labels.number(10**position, 4) for position in positions]}
