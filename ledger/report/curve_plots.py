"""The learning curves of a report. A curve shows the values that the objective reported during a trial."""

from collections.abc import Sequence

import plotly.graph_objects as go

from ledger.database.curves import LearningCurve
from ledger.report import labels
from ledger.report.axes import LOGARITHMIC_RATIO
from ledger.report.content import ReportContent
from ledger.report.section import CaptionedFigure, ReportSection
from ledger.report.theme import BLUE, GREY, ORANGE, OUTCOMES, SKY

TITLE = "Learning curves"


def curves(content: ReportContent) -> ReportSection:
    """Return a plot that shows the reported value at each step, for some of the trials."""
    shown = content.ledger.curves
    if not shown:
        return ReportSection("curves", TITLE, "The objective has reported no values during the training.")
    best = None if content.best is None else content.best.number
    # Plotly draws later curves on top of earlier curves. The curves of the best trials come last, so that the best
    # curves stay visible.
    ordered = sorted(shown, key=lambda curve: (curve.trial.number == best, curve.is_best))
    figure = go.Figure(
        [_trace(curve, best) for curve in ordered],
        {
            "height": 400,
            "xaxis": {"title": {"text": "step"}},
            "yaxis": _value_axis(content, shown),
            "showlegend": False,
        },
    )
    leading = sum(curve.is_best for curve in shown)
    caption = (
        f"The plot shows the values that {labels.plural(len(shown), 'trial has', 'trials have')} reported during the"
        f" training. The dark curves are the {labels.plural(leading, 'trial', 'trials')} with the best values"
        f"{f', and the orange curve is the best trial {best}' if any(c.trial.number == best for c in shown) else ''}."
        " The pale curves belong to some of the other trials. A dotted curve belongs to a trial without a final"
        " value."
    )
    if any(curve.trial.state == "pruned" for curve in shown):
        caption += " A curve ends with a cross if the rule of early stopping has pruned the trial."
    return ReportSection("curves", TITLE, caption, [CaptionedFigure(figure, caption)])


def _trace(curve: LearningCurve, best: int | None) -> go.Scatter:
    trial = curve.trial
    colour = ORANGE if trial.number == best else BLUE if curve.is_best else SKY
    if trial.loss is None:
        colour = GREY
    # With many points, a curve has no markers.
    size = 4 if len(curve.steps) < 30 else 0
    marker: dict[str, object] = {"size": size}
    is_pruned = trial.state == "pruned"
    if is_pruned:
        colour = OUTCOMES["pruned"]
        before = len(curve.steps) - 1
        marker = {"size": [*[size] * before, 9], "symbol": [*["circle"] * before, "x"]}
    return go.Scatter(
        x=curve.steps,
        y=curve.values,
        mode="lines+markers" if size or is_pruned else "lines",
        line={
            "color": colour,
            "width": 3 if trial.number == best else 2 if curve.is_best else 1,
            "dash": "dot" if trial.loss is None else "solid",
        },
        marker=marker,
        opacity=1.0 if curve.is_best else 0.6,
        hovertemplate=f"trial {trial.number}, {trial.state}<br>step %{{x}}: %{{y:.6g}}<extra></extra>",
    )


def _value_axis(content: ReportContent, shown: Sequence[LearningCurve]) -> dict[str, object]:
    values = [value for curve in shown for value in curve.values if value is not None]
    name = f"reported {content.value_name}"
    if values and min(values) > 0 and max(values) / min(values) >= LOGARITHMIC_RATIO:
        return {"title": {"text": f"{name} (log)"}, "type": "log"}
    return {"title": {"text": name}}
