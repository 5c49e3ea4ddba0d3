"""Plots of a study's trials. The plots show the convergence of the study, the trials in parallel coordinates, and the
trials' values over each parameter.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ledger.database.overview import SHOWN, thinned
from ledger.database.rows import COUNTED_STATES, TrialRow
from ledger.report import axes, labels
from ledger.report.content import ReportContent
from ledger.report.parameter_axes import parameter_axis
from ledger.report.section import CaptionedFigure, ReportSection
from ledger.report.theme import AZURE, BLUE, GREY, ORANGE, SKY, VERMILLION
from ledger.study.dimensions import Dimension
from ledger.text import one_line

# Seed for the random offsets that separate points with the same categorical value.
_SEED = 0


def convergence(content: ReportContent) -> ReportSection:
    """Return a plot of the value of each trial, the best value so far, and the mean value of each iteration."""
    if content.best is None:
        return ReportSection("convergence", "Convergence", f"No trial is complete yet{_other_states(content)}.")
    shown = [trial for trial in content.shown if trial.state == "complete"]
    traces = [
        go.Scatter(
            x=[trial.number for trial in shown],
            y=[trial.result for trial in shown],
            mode="markers",
            name=f"{content.value_name} of a trial",
            marker={"color": SKY, "size": 7 if len(shown) < 300 else 4},
            customdata=[_description(content, trial) for trial in shown],
            hovertemplate=f"%{{customdata}}<br>{content.value_name} %{{y:.6g}}<extra></extra>",
        )
    ]
    numbers, values = _best_so_far(content)
    traces.append(
        go.Scatter(
            x=numbers,
            y=values,
            mode="lines",
            name="best so far",
            line={"color": BLUE, "width": 3, "shape": "hv"},
            hovertemplate="best after trial %{x}: %{y:.6g}<extra></extra>",
        )
    )
    if not content.is_steady:
        means = content.ledger.means
        traces.append(
            go.Scatter(
                x=[mean.middle for mean in means],
                y=[mean.mean_value for mean in means],
                mode="lines+markers" if len(means) < 100 else "lines",
                name="mean of an iteration",
                line={"color": ORANGE, "width": 1.5, "dash": "dot"},
                marker={"symbol": "diamond", "size": 9},
                customdata=[mean.number for mean in means],
                hovertemplate="mean of iteration %{customdata}: %{y:.6g}<extra></extra>",
            )
        )
    failed = [trial for trial in content.shown if trial.state == "failed"]
    if failed:
        traces.append(_failed_trace(content, [trial.number for trial in failed], failed, shown))
    layout = {"height": 400, "xaxis": {"title": {"text": "trial"}}, "yaxis": axes.value_axis(content)}
    figure = go.Figure(traces, layout)
    if content.ledger.trials == 1:
        figure.update_xaxes(range=[-1, 1], dtick=1)
    best = f"The best {content.value_name} is {labels.number(content.best.result)}, in trial {content.best.number}"
    complete = labels.plural(content.ledger.progress.complete, "is complete", "are complete")
    caption = f"{best}. Of {content.ledger.trials:,} trials, {complete}{_other_states(content)}."
    if content.is_steady:
        caption += " In steady mode, most iterations have one trial, so the plot shows no mean values of iterations."
    return ReportSection(
        "convergence", "Convergence", caption + _sample_note(content), [CaptionedFigure(figure, caption)]
    )


def parallel(content: ReportContent) -> ReportSection:
    """Return a plot of parallel coordinates. Each complete trial has a line that connects the trial's parameters with
    the trial's value.
    """
    title = "Parallel coordinates"
    sign = 1 if content.is_maximised else -1
    shown = sorted(
        (trial for trial in content.shown if trial.state == "complete"), key=lambda trial: sign * trial.result
    )
    if not shown:
        return ReportSection("parallel", title, "No trial is complete yet.")
    values = [trial.result for trial in shown]
    value_axis = axes.parallel_value_axis(content.value_name, values, logarithmic=axes.is_logarithmic(content))
    dimensions = [
        parameter_axis(dimension).parallel([trial.params[dimension.name] for trial in shown])
        for dimension in content.study.space.dimensions
    ]
    dimensions.append(value_axis)
    # A better trial has a higher colour value. Plotly draws a line with a higher colour value on top of the other
    # lines. Therefore no other line hides the lines of the best trials.
    colours = [sign * value for value in value_axis["values"]]
    ticks = {"tickvals": [sign * value for value in value_axis["tickvals"]], "ticktext": value_axis["ticktext"]}
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={"color": colours, "coloraxis": "coloraxis"},
            labelfont={"size": 13},
            tickfont={"size": 12},
            # The plot hides Plotly's labels for the range of an axis, because the ticks at the ends of the axis already
            # show the range.
            rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
            unselected={"line": {"color": GREY, "opacity": 0.08}},
        ),
        {
            "height": 430,
            "margin": {"l": 60, "r": 20, "t": 56, "b": 24},
            "coloraxis": {"colorbar": {"title": {"text": content.value_name}, **ticks}},
        },
    )
    caption = (
        f"The plot shows {labels.plural(len(shown), 'complete trial', 'complete trials')}. Each line connects the"
        f" parameters of one trial with the trial's {content.value_name} on the right axis. The colour of a line also"
        f" shows the trial's {content.value_name}. To select lines, drag the mouse along an axis."
    )
    size = (max(900, 150 * len(dimensions)), 460)
    return ReportSection("parallel", title, caption + _sample_note(content), [CaptionedFigure(figure, caption)], size)


def parameters(content: ReportContent) -> ReportSection:
    """Return one plot for each parameter. The plot has a point for each trial. The point shows the parameter and the
    value of the trial.
    """
    title = f"Parameters against the {content.value_name}"
    if content.best is None:
        return ReportSection("parameters", title, "No trial is complete yet.")
    plots = [_parameter(content, dimension) for dimension in content.study.space.dimensions]
    edge = "bottom" if content.is_maximised else "top"
    caption = (
        f"Each point is a complete trial, and the star is the best trial. A cross at the {edge} is a failed trial."
    )
    return ReportSection("parameters", title, caption + _sample_note(content), plots, (420, 300))


def _parameter(content: ReportContent, dimension: Dimension) -> CaptionedFigure:
    assert content.best is not None
    shown = [trial for trial in content.shown if trial.state == "complete"]
    failed = [trial for trial in content.shown if trial.state == "failed"]
    axis, random = parameter_axis(dimension), np.random.default_rng(_SEED)

    def positions(trials: Sequence[TrialRow]) -> list[Any]:
        return axis.positions([trial.params[dimension.name] for trial in trials], random)

    values = [labels.escaped(labels.value(trial.params[dimension.name]), 60) for trial in shown]
    traces = [
        go.Scatter(
            x=positions(shown),
            y=[trial.result for trial in shown],
            mode="markers",
            marker={"color": AZURE, "size": 6 if len(shown) < 300 else 4, "opacity": 0.8},
            customdata=[[trial.number, value] for trial, value in zip(shown, values, strict=True)],
            hovertemplate="trial %{customdata[0]}<br>%{customdata[1]}"
            f"<br>{content.value_name} %{{y:.6g}}<extra></extra>",
        ),
        go.Scatter(
            x=positions([content.best]),
            y=[content.best.result],
            mode="markers",
            marker={"color": ORANGE, "size": 14, "symbol": "star", "line": {"width": 1, "color": "#5a3d00"}},
            hovertemplate=f"best: trial {content.best.number}<br>{content.value_name} %{{y:.6g}}<extra></extra>",
        ),
    ]
    if failed:
        traces.append(_failed_trace(content, positions(failed), failed, shown))
    figure = go.Figure(traces, {**axis.layout(), "yaxis": axes.value_axis(content)})
    best = one_line(labels.value(content.best.params[dimension.name]), 60)
    return CaptionedFigure(figure, f"{one_line(dimension.name, 60)}: {axis.extent()}; best {best}.")


def _failed_trace(
    content: ReportContent, positions: list[Any], failed: Sequence[TrialRow], complete: Sequence[TrialRow]
) -> go.Scatter:
    worst = min if content.is_maximised else max
    return go.Scatter(
        x=positions,
        y=[worst(trial.result for trial in complete)] * len(failed),
        mode="markers",
        name="failed, without a value",
        marker={"color": VERMILLION, "size": 9, "symbol": "x-thin", "line": {"width": 2, "color": VERMILLION}},
        customdata=[trial.number for trial in failed],
        hovertemplate="trial %{customdata} failed<extra></extra>",
    )


def _best_so_far(content: ReportContent) -> tuple[list[int], list[float]]:
    """Return the curve of the best value so far, as a list of trial numbers and a list of values.

    If the value of a trial is better than all earlier values, the curve has a point for this trial. The curve also has
    a point for the last complete trial.
    """
    # If a study has very many improvements, the curve has points for only a selection of the improvements.
    kept = thinned(content.ledger.improvements)
    numbers, values = [each.trial for each in kept], [each.value for each in kept]
    last = content.ledger.last_complete
    if last is not None and numbers[-1] != last:
        return [*numbers, last], [*values, values[-1]]
    return numbers, values


def _description(content: ReportContent, trial: TrialRow) -> str:
    lines = [f"trial {trial.number}, iteration {trial.iteration}"]
    for dimension in content.study.space.dimensions[:8]:
        value = labels.value(trial.params[dimension.name])
        lines.append(f"{labels.escaped(dimension.name, 30)} = {labels.escaped(value, 30)}")
    return "<br>".join(lines)


def _other_states(content: ReportContent) -> str:
    progress = content.ledger.progress
    counts = {state: getattr(progress, state) for state in COUNTED_STATES if state != "complete"}
    parts = [f"{count:,} {state}" for state, count in counts.items() if count]
    return f", {', '.join(parts)}" if parts else ""


def _sample_note(content: ReportContent) -> str:
    """Return a sentence for the caption if the plot shows only some trials. If the plot shows all trials, return an
    empty text.
    """
    if len(content.shown) == content.ledger.trials:
        return ""
    return (
        f" The plot shows {len(content.shown):,} of {content.ledger.trials:,} trials: up to"
        f" {SHOWN // 2:,} trials with the best values, and an evenly spaced selection of the other trials."
    )
