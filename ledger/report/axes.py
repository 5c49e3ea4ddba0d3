"""Axes of losses, and ticks of logarithmic axes."""

import math
from typing import Any

from ledger.report import labels
from ledger.report.content import ReportContent

# The axis of losses is logarithmic if all losses are positive, and if the largest loss is at least `LOGARITHMIC_RATIO`
# times the smallest loss.
LOGARITHMIC_RATIO = 50


def loss_axis(content: ReportContent) -> dict[str, Any]:
    """Return the layout of the axis of losses. At least one trial must be complete."""
    if is_logarithmic(content):
        losses = [trial.result for trial in content.complete]
        decades = math.log10(max(losses)) - math.log10(min(losses))
        return {"title": {"text": "loss (log)"}, "type": "log", "dtick": math.ceil(decades / 6)}
    return {"title": {"text": "loss"}}


def is_logarithmic(content: ReportContent) -> bool:
    """Return whether the losses are drawn on a logarithmic axis."""
    losses = [trial.result for trial in content.complete]
    return bool(min(losses) > 0 and max(losses) / min(losses) >= LOGARITHMIC_RATIO)


def parallel_loss_axis(losses: list[float], *, logarithmic: bool) -> dict[str, Any]:
    """Return the axis of losses in a plot of parallel coordinates, with the position of each loss on this axis."""
    if not logarithmic:
        low, high = min(losses), max(losses)
        ticks = [low * (1 - quarter / 4) + high * quarter / 4 for quarter in range(5)] if high > low else [low]
        texts = [labels.number(tick, 4) for tick in ticks]
        return {"label": "loss", "values": losses, "tickvals": ticks, "ticktext": texts}
    logarithms = [math.log10(loss) for loss in losses]
    return {"label": "loss", "values": logarithms, **decade_ticks(logarithms)}


def decade_ticks(logarithms: list[float]) -> dict[str, Any]:
    """Return ticks at the powers of ten within the range of `logarithms`.

    If fewer than three ticks would be at powers of ten, return ticks at the two ends and at the middle of the range.
    """
    low, high = min(logarithms), max(logarithms)
    step = max(1, round((high - low) / 6))
    positions: list[float] = list(range(math.ceil(low), math.floor(high) + 1, step))
    if len(positions) < 3:
        positions = sorted({low, (low + high) / 2, high})
    return {"tickvals": positions, "ticktext": [labels.number(10**position, 4) for position in positions]}
