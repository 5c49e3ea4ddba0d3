"""Plots of the surrogate. The plots show the partial dependence and the importance of each parameter."""

import numpy as np
import plotly.graph_objects as go

from ledger.proposals.surrogate import PartialDependence
from ledger.report import labels
from ledger.report.content import LARGEST, ReportContent
from ledger.report.parameter_axes import parameter_axis
from ledger.report.section import CaptionedFigure, ReportSection
from ledger.report.theme import BLUE, ORANGE, SKY
from ledger.study.dimensions import Dimension
from ledger.text import one_line

_DEVIATION_OF_FOREST = (
    "The standard deviation has two sources: the differences between the trees, and the variance of the values in"
    " each leaf of the trees. "
)


def dependence(content: ReportContent) -> ReportSection:
    """Return one plot for each parameter. The plot shows how the surrogate's predicted value depends on the parameter.

    The predicted value is an average over the values of the other parameters.
    """
    title = "Partial dependence"
    if content.surrogate is None:
        return ReportSection("dependence", title, why_no_surrogate(content))
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
        f"Each plot shows the {content.value_name} that {surrogate_name(content)} expects for each value of one"
        f" parameter. The expected {content.value_name} is averaged over all other parameters. The interval around the"
        f" expected {content.value_name} extends two standard deviations in each direction. "
        f"{_DEVIATION_OF_FOREST if content.surrogate.estimator != 'GP' else ''}"
        "The dotted line marks the parameter's value in the best trial. A flat curve means that the parameter alone has"
        f" little effect on the {content.value_name}."
    )
    return ReportSection("dependence", title, caption, plots, (420, 300))


def importance(content: ReportContent) -> ReportSection:
    """Return a plot of the importance of each parameter.

    The importance of a parameter is the parameter's share in the variance of the predicted value.
    """
    title = "Importance of the parameters"
    if content.surrogate is None:
        return ReportSection("importance", title, why_no_surrogate(content))
    ranking = sorted(content.importances.items(), key=lambda item: item[1].total)
    if not any(shares.total for _, shares in ranking):
        name = surrogate_name(content)
        same = f"{name[0].upper()}{name[1:]} expects the same {content.value_name} for all points."
        return ReportSection("importance", title, same)
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
            "xaxis": {
                "tickformat": ".0%",
                "rangemode": "tozero",
                "title": {"text": f"share of the variance of the {content.value_name}"},
            },
            "yaxis": {
                "tickvals": list(range(len(ranking))),
                "ticktext": [labels.escaped(parameter, 28) for parameter, _ in ranking],
                "showgrid": False,
            },
        },
    )
    parameter, shares = ranking[-1]
    caption = (
        f"According to {surrogate_name(content)}, the parameter {one_line(parameter, 60)} explains the largest share"
        f" of the variance of the {content.value_name} over the whole space. The parameter alone explains"
        f" {shares.first:.0%} of the variance. The parameter and its interactions together explain"
        f" {shares.total:.0%} of the variance. The bars show the first-order and the total Sobol index of each"
        " parameter. The Sobol indices describe the surrogate's prediction. The report estimates the Sobol indices from"
        " random points of the space (Saltelli et al. 2010, Jansen 1999)."
    )
    return ReportSection(
        "importance", title, caption, [CaptionedFigure(figure, caption)], (900, 140 + 46 * len(ranking))
    )


def _dependence(
    content: ReportContent, dimension: Dimension, curve: PartialDependence, value_range: list[float]
) -> CaptionedFigure:
    assert content.best is not None
    axis = parameter_axis(dimension)
    (best,) = axis.positions([content.best.params[dimension.name]])
    line = {"color": ORANGE, "width": 1.5, "dash": "dot"}
    figure = go.Figure(
        axis.dependence(curve),
        {
            **axis.layout(),
            "yaxis": {"title": {"text": f"expected {content.value_name}"}, "range": value_range},
            "shapes": [{"type": "line", "x0": best, "x1": best, "yref": "paper", "y0": 0, "y1": 1, "line": line}],
        },
    )
    best_index = int(np.argmax(curve.mean) if content.is_maximised else np.argmin(curve.mean))
    mean, margin = float(curve.mean[best_index]), 2 * float(curve.deviation[best_index])
    extreme = "highest" if content.is_maximised else "lowest"
    return CaptionedFigure(
        figure,
        f"{one_line(dimension.name, 60)}: {extreme} expected {content.value_name} {labels.number(mean)} ±"
        f" {labels.number(margin, 2)}, at {one_line(labels.value(curve.values[best_index]), 60)}.",
    )


def why_no_surrogate(content: ReportContent) -> str:
    """Return the caption of a section without plots. The caption states why the report has no surrogate."""
    if content.best is None:
        return "No trial is complete yet, so there is no surrogate."
    if content.is_extreme:
        return (
            f"There is no plot, because the absolute value of a loss exceeds {LARGEST:g}. The difference of two"
            " losses of this size could exceed the largest float."
        )
    return (
        f"There is no surrogate yet: at least the first {content.study.resolved.initial_points} points are random, and"
        " the optimizer has not proposed a later point."
    )


def surrogate_name(content: ReportContent) -> str:
    """Return a text with the kind of the surrogate and the number of observations to which the surrogate is fitted. The
    content must have a surrogate.
    """
    assert content.surrogate is not None
    names = {"GP": "the Gaussian process", "RF": "the random forest", "ET": "the forest of extra trees"}
    name = names[content.surrogate.estimator]
    known, observations = content.surrogate.known, content.surrogate.observations
    if len(content.ledger.observed) < content.ledger.ended:
        return f"{name} (fitted to {known:,} observations of {content.ledger.ended:,} trials)"
    if known < observations:
        return f"{name} (fitted to {known:,} of {observations:,} observations)"
    return f"{name} of {observations:,} observations"
