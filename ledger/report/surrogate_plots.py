"""Plots of the surrogate: partial dependence, and importance of the parameters."""

import numpy as np
import plotly.graph_objects as go

from ledger.proposals import Dependence
from ledger.report import axes, labels
from ledger.report.content import LARGEST, Content
from ledger.report.section import Plot, Section
from ledger.report.theme import BLUE, GREEN, ORANGE, SKY
from ledger.study.space import Categorical, Dimension
from ledger.text import one_line


def dependence(content: Content) -> Section:
    """Return one plot for each parameter: the surrogate's expected loss, averaged over the other parameters."""
    title = "Partial dependence"
    if content.surrogate is None:
        return Section("dependence", title, _why_no_surrogate(content))
    dependences = content.dependences
    lows = [float((curve.mean - 2 * curve.deviation).min()) for curve in dependences.values()]
    highs = [float((curve.mean + 2 * curve.deviation).max()) for curve in dependences.values()]
    margin = 0.05 * ((max(highs) - min(lows)) or 1.0) if dependences else 0.0
    plots = [
        _dependence(content, dimension, dependences[dimension.name], [min(lows) - margin, max(highs) + margin])
        for dimension in content.study.space.dimensions
        if dimension.name in dependences
    ]
    caption = (
        f"The loss that {_surrogate_name(content)} expects at each value of one parameter, averaged over all others,"
        f" within two standard deviations{' between its trees' if content.surrogate.estimator != 'GP' else ''}. The"
        " dotted line marks the best trial. A flat curve means that the parameter alone changes the loss little."
    )
    return Section("dependence", title, caption, plots, (420, 300))


def importance(content: Content) -> Section:
    """Return the share of the variance of the loss that each parameter explains, by the surrogate."""
    title = "Importance of the parameters"
    if content.surrogate is None:
        return Section("importance", title, _why_no_surrogate(content))
    ranking = sorted(content.importances.items(), key=lambda item: item[1].total)
    if not any(shares.total for _, shares in ranking):
        name = _surrogate_name(content)
        return Section("importance", title, f"{name[0].upper()}{name[1:]} expects the same loss everywhere.")
    figure = go.Figure(
        [
            go.Bar(
                x=values,
                y=list(range(len(ranking))),
                orientation="h",
                name=name,
                marker={"color": colour},
                hovertemplate=f"{name}: %{{x:.1%}}<extra></extra>",
            )
            for name, values, colour in (
                ("with its interactions", [shares.total for _, shares in ranking], SKY),
                ("alone", [shares.first for _, shares in ranking], BLUE),
            )
        ],
        {
            "height": 110 + 46 * len(ranking),
            "bargap": 0.3,
            "legend": {"traceorder": "reversed"},
            "xaxis": {"tickformat": ".0%", "rangemode": "tozero", "title": {"text": "share of the loss's variance"}},
            "yaxis": {
                "tickvals": list(range(len(ranking))),
                "ticktext": [labels.escaped(parameter, 28) for parameter, _ in ranking],
                "showgrid": False,
            },
        },
    )
    parameter, shares = ranking[-1]
    caption = (
        f"By {_surrogate_name(content)}, {one_line(parameter, 60)} explains most of the variance of the loss over the"
        f" whole space: {shares.first:.0%} alone, {shares.total:.0%} with its interactions. The bars are first-order"
        " and total Sobol indices of the surrogate's mean, estimated from samples of the priors (Saltelli et al. 2010,"
        " Jansen 1999)."
    )
    return Section("importance", title, caption, [Plot(figure, caption)], (900, 140 + 46 * len(ranking)))


def _dependence(content: Content, dimension: Dimension, curve: Dependence, loss_range: list[float]) -> Plot:
    assert content.best is not None
    best = content.best.params[dimension.name]
    if isinstance(dimension, Categorical):
        best = dimension.choices.index(best)
        traces = [
            go.Scatter(
                x=[dimension.choices.index(value) for value in curve.values],
                y=curve.mean,
                error_y={"array": 2 * curve.deviation, "color": GREEN, "thickness": 2, "width": 6},
                mode="markers",
                marker={"color": GREEN, "size": 10},
                customdata=[labels.escaped(labels.value(value), 60) for value in curve.values],
                hovertemplate="%{customdata}<br>expected loss %{y:.6g}<extra></extra>",
            )
        ]
    else:
        upper, lower = curve.mean + 2 * curve.deviation, curve.mean - 2 * curve.deviation
        traces = [
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
                hovertemplate="%{x:.6g}<br>expected loss %{y:.6g}<extra></extra>",
            ),
        ]
    line = {"color": ORANGE, "width": 1.5, "dash": "dot"}
    figure = go.Figure(
        traces,
        {
            **axes.parameter_layout(dimension),
            "yaxis": {"title": {"text": "expected loss"}, "range": loss_range},
            "shapes": [{"type": "line", "x0": best, "x1": best, "yref": "paper", "y0": 0, "y1": 1, "line": line}],
        },
    )
    lowest = int(np.argmin(curve.mean))
    mean, margin = float(curve.mean[lowest]), 2 * float(curve.deviation[lowest])
    return Plot(
        figure,
        f"{one_line(dimension.name, 60)}: lowest expected loss {labels.number(mean)} ± {labels.number(margin, 2)}, at"
        f" {one_line(labels.value(curve.values[lowest]), 60)}.",
    )


def _why_no_surrogate(content: Content) -> str:
    if content.best is None:
        return "No trial is complete yet, so there is no surrogate."
    if content.is_extreme:
        return f"Some losses are beyond {LARGEST:g}, and their differences are too large to compute with."
    return (
        f"There is no surrogate yet: the first {content.study.resolved.initial_points} points are drawn at random, and"
        " no later ones have been proposed."
    )


def _surrogate_name(content: Content) -> str:
    assert content.surrogate is not None
    names = {"GP": "the Gaussian process", "RF": "the random forest", "ET": "the forest of extra trees"}
    name = names[content.surrogate.estimator]
    known, points = content.surrogate.known, content.surrogate.points
    return f"{name} ({known:,} of {points:,} trials known to it)" if known < points else f"{name} of {points:,} trials"
