"""The plots of a report, each with a caption that says what it shows."""

import html
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ledger.proposals import Dependence
from ledger.report.content import LARGEST, SHOWN, Content
from ledger.report.theme import AZURE, BLUE, GREEN, GREY, ORANGE, OUTCOMES, SKY, VERMILLION
from ledger.study.space import Categorical, Dimension, Integer
from ledger.text import one_line

AnyRow = Any

# Losses are drawn on a logarithmic axis where the largest is so many times the smallest.
DECADES = 50
# Workers that the timeline has a row for, and shares of its width below which attempts of one outcome become one bar.
ROWS, APART = 100, 1 / 2_000
# Attempts up to which every one is a bar of its own.
BARS = 2_000
# The seed of what is random in a plot: where a category's points lie beside one another.
_SEED = 0


@dataclass(frozen=True)
class Plot:
    """A figure, and in words what it shows."""

    figure: go.Figure
    caption: str


@dataclass(frozen=True)
class Section:
    """What belongs together under a title: some plots, or none, and then the caption says why.

    Attributes
    ----------
    name : str
        As a person names it.
    size : tuple of int
        Pixels of one of its figures as a picture, width and height.
    """

    name: str
    title: str
    caption: str
    plots: Sequence[Plot] = field(default_factory=list)
    size: tuple[int, int] = (900, 420)


def convergence(content: Content) -> Section:
    """Losses by trial, the best so far, and the means of iterations."""
    if content.best is None:
        return Section("convergence", "Convergence", f"No trial is complete yet{_counted(content)}.")
    shown = [trial for trial in content.shown if trial.state == "complete"]
    traces = [
        go.Scatter(
            x=[trial.number for trial in shown],
            y=[trial.loss for trial in shown],
            mode="markers",
            name="loss of a trial",
            marker={"color": SKY, "size": 7 if len(shown) < 300 else 4},
            customdata=[_described(trial) for trial in shown],
            hovertemplate="%{customdata}<br>loss %{y:.6g}<extra></extra>",
        )
    ]
    numbers, losses = _best_so_far(content)
    traces.append(
        go.Scatter(
            x=numbers,
            y=losses,
            mode="lines",
            name="best so far",
            line={"color": BLUE, "width": 3, "shape": "hv"},
            hovertemplate="best after trial %{x}: %{y:.6g}<extra></extra>",
        )
    )
    if not content.is_steady:
        means = _means(content)
        traces.append(
            go.Scatter(
                x=[middle for middle, _, _ in means],
                y=[mean for _, mean, _ in means],
                mode="lines+markers" if len(means) < 100 else "lines",
                name="mean of an iteration",
                line={"color": ORANGE, "width": 1.5, "dash": "dot"},
                marker={"symbol": "diamond", "size": 9},
                customdata=[number for _, _, number in means],
                hovertemplate="mean of iteration %{customdata}: %{y:.6g}<extra></extra>",
            )
        )
    failed = [trial for trial in content.shown if trial.state == "failed"]
    if failed:
        traces.append(_failed([trial.number for trial in failed], failed, shown))
    figure = go.Figure(traces, {"height": 400, "xaxis": {"title": {"text": "trial"}}, "yaxis": _loss_axis(content)})
    if len(content.ledger.trials) == 1:
        figure.update_xaxes(range=[-1, 1], dtick=1)
    caption = (
        f"Best loss {_number(content.best.loss)}, at trial {content.best.number} of {len(content.ledger.trials)};"
        f" {_plural(len(content.complete), 'is complete', 'are complete')}{_counted(content)}."
    )
    if content.is_steady:
        caption += " In steady mode trials are replaced one by one, so there are no means of iterations."
    return Section("convergence", "Convergence", caption + _thinned(content), [Plot(figure, caption)])


def parallel(content: Content) -> Section:
    """One line a complete trial, through its parameters to its loss."""
    title = "Parallel coordinates"
    shown = sorted((trial for trial in content.shown if trial.state == "complete"), key=lambda trial: -trial.loss)
    if not shown:
        return Section("parallel", title, "No trial is complete yet.")
    losses = [trial.loss for trial in shown]
    of_loss = {"label": "loss", **_scaled(losses, _is_log(content))}
    axes = [_coordinate(one, [trial.params[one.name] for trial in shown]) for one in content.study.space.dimensions]
    axes.append(of_loss)
    # Plotly draws the highest colour last, and the lowest losses are to be seen
    colours = [-value for value in of_loss["values"]]
    ticks = {"tickvals": [-value for value in of_loss["tickvals"]], "ticktext": of_loss["ticktext"]}
    figure = go.Figure(
        go.Parcoords(
            dimensions=axes,
            line={"color": colours, "coloraxis": "coloraxis"},
            labelfont={"size": 13},
            tickfont={"size": 12},
            # the ends are ticks
            rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
            unselected={"line": {"color": GREY, "opacity": 0.08}},
        ),
        {
            "height": 430,
            "margin": {"l": 60, "r": 20, "t": 56, "b": 24},
            "coloraxis": {"colorbar": {"title": {"text": "loss"}, **ticks}},
        },
    )
    caption = (
        f"Each of {_plural(len(shown), 'line is a complete trial', 'lines is a complete trial')}, from its parameters"
        " to its loss at the right, which also gives the colour. Drag along an axis to keep the lines that pass there."
    )
    size = (max(900, 150 * len(axes)), 460)
    return Section("parallel", title, caption + _thinned(content), [Plot(figure, caption)], size)


def parameters(content: Content) -> Section:
    """Each parameter against the loss."""
    title = "Parameters against the loss"
    if content.best is None:
        return Section("parameters", title, "No trial is complete yet.")
    plots = [_parameter(content, dimension) for dimension in content.study.space.dimensions]
    caption = "One point a complete trial; the star is the best one. A trial that failed is a cross at the top."
    return Section("parameters", title, caption + _thinned(content), plots, (420, 300))


def dependence(content: Content) -> Section:
    """What the surrogate believes of each parameter, averaged over the others."""
    title = "Partial dependence"
    if content.surrogate is None:
        return Section("dependence", title, _no_surrogate(content))
    found = content.dependences
    lows = [float((one.mean - 2 * one.deviation).min()) for one in found.values()]
    highs = [float((one.mean + 2 * one.deviation).max()) for one in found.values()]
    margin = 0.05 * ((max(highs) - min(lows)) or 1.0) if found else 0.0
    plots = [
        _dependence(content, dimension, found[dimension.name], [min(lows) - margin, max(highs) + margin])
        for dimension in content.study.space.dimensions
        if dimension.name in found
    ]
    caption = (
        f"The loss that {_surrogate(content)} expects at each value of one parameter, averaged over all others, within"
        f" two standard deviations{' between its trees' if content.surrogate.estimator != 'GP' else ''}. A dotted line"
        " marks the best trial. A flat curve is a parameter that alone changes little."
    )
    return Section("dependence", title, caption, plots, (420, 300))


def importance(content: Content) -> Section:
    """Which share of the variation of the loss each parameter explains."""
    title = "Importance of the parameters"
    if content.surrogate is None:
        return Section("importance", title, _no_surrogate(content))
    found = sorted(content.importances.items(), key=lambda item: item[1].total)
    if not any(one.total for _, one in found):
        return Section("importance", title, f"{_surrogate(content, first=True)} expects the same loss everywhere.")
    labels = [_plain(name, 28) for name, _ in found]
    figure = go.Figure(
        [
            go.Bar(
                x=values,
                y=list(range(len(found))),
                orientation="h",
                name=name,
                marker={"color": colour},
                hovertemplate=f"{name}: %{{x:.1%}}<extra></extra>",
            )
            for name, values, colour in (
                ("with its interactions", [one.total for _, one in found], SKY),
                ("alone", [one.first for _, one in found], BLUE),
            )
        ],
        {
            "height": 110 + 46 * len(found),
            "bargap": 0.3,
            "legend": {"traceorder": "reversed"},
            "xaxis": {"tickformat": ".0%", "rangemode": "tozero", "title": {"text": "share of the loss's variance"}},
            "yaxis": {"tickvals": list(range(len(found))), "ticktext": labels, "showgrid": False},
        },
    )
    most = found[-1]
    caption = (
        f"Most of what {_surrogate(content)} expects to change the loss over the whole space is due to"
        f" {one_line(most[0], 60)} ({most[1].first:.0%} alone, {most[1].total:.0%} with its interactions). These are"
        " first-order and total Sobol indices of its mean, estimated from samples of the priors (Saltelli et al. 2010,"
        " Jansen 1999)."
    )
    return Section("importance", title, caption, [Plot(figure, caption)], (900, 140 + 46 * len(found)))


def timeline(content: Content) -> Section:
    """Who tried what when, and how it ended."""
    title = "Workers"
    attempts = [attempt for attempt in content.ledger.attempts if attempt.claimed_at is not None]
    if not attempts:
        return Section("timeline", title, "No trial has been claimed yet.")
    by_worker: dict[str, list[AnyRow]] = {}
    for attempt in attempts:
        by_worker.setdefault(attempt.worker, []).append(attempt)
    busiest = sorted(by_worker, key=lambda name: -len(by_worker[name]))[:ROWS]
    rows = sorted(busiest, key=lambda name: min(one.claimed_at for one in by_worker[name]), reverse=True)
    now = content.ledger.at
    begin = min(attempt.claimed_at for attempt in attempts)
    span = (max(attempt.ended_at or now for attempt in attempts) - begin).total_seconds() or 1.0
    gap = span * APART if len(attempts) > BARS else -1.0
    bars: dict[str, list[tuple[int, datetime, float, str]]] = {outcome: [] for outcome in OUTCOMES}
    for row, worker in enumerate(rows):
        for run in _runs(by_worker[worker], now, gap):
            outcome, start = run[0].outcome or "running", run[0].claimed_at
            seconds = max(((one.ended_at or now) - start).total_seconds() for one in run)
            bars[outcome].append((row, start, seconds, _told(run, seconds)))
    drawn = sum(map(len, bars.values()))
    figure = go.Figure(
        [
            go.Bar(
                y=[row for row, *_ in of_outcome],
                base=[start.isoformat() for _, start, *_ in of_outcome],
                x=[1_000 * seconds for _, _, seconds, _ in of_outcome],
                orientation="h",
                width=0.72,
                name=outcome,
                # its own colour, so that what is shorter than a pixel is seen too; few bars have an edge
                marker={
                    "color": OUTCOMES[outcome],
                    "line": {"width": 1, "color": OUTCOMES[outcome] if drawn > 300 else "rgba(0,0,0,0.45)"},
                },
                customdata=[text for *_, text in of_outcome],
                hovertemplate="%{customdata}<extra></extra>",
            )
            for outcome, of_outcome in bars.items()
            if of_outcome
        ],
        {
            "barmode": "overlay",
            "showlegend": True,
            "height": 110 + max(18, min(34, 900 // len(rows))) * len(rows),
            "xaxis": {"type": "date", "title": {"text": "time (UTC)"}},
            "yaxis": {
                "tickvals": list(range(len(rows))),
                "ticktext": [_plain(name, 18) for name in rows],
                "range": [-0.6, len(rows) - 0.4],
                "showgrid": False,
            },
        },
    )
    outcomes = Counter(attempt.outcome or "running" for attempt in attempts)
    caption = (
        f"{_plural(len(attempts), 'attempt', 'attempts')} of {_plural(len(by_worker), 'worker', 'workers')}:"
        f" {', '.join(f'{outcomes[one]} {one}' for one in OUTCOMES if outcomes[one])}. One bar an attempt, one row a"
        " worker, from the claim to the end."
    )
    if gap > 0:
        caption += " Attempts that follow one another closely, with one outcome, are one bar."
    if len(by_worker) > ROWS:
        caption += f" Shown are the {ROWS} workers with the most attempts."
    size = (900, 140 + max(18, min(34, 900 // len(rows))) * len(rows))
    return Section("timeline", title, caption, [Plot(figure, caption)], size)


PLOTS: Mapping[str, Callable[[Content], Section]] = {
    one.__name__: one for one in (convergence, parallel, parameters, dependence, importance, timeline)
}


def _parameter(content: Content, dimension: Dimension) -> Plot:
    assert content.best is not None
    shown = [trial for trial in content.shown if trial.state == "complete"]
    failed = [trial for trial in content.shown if trial.state == "failed"]
    random = np.random.default_rng(_SEED)

    def places(trials: Sequence[AnyRow]) -> list[Any]:
        values = [trial.params[dimension.name] for trial in trials]
        if not isinstance(dimension, Categorical):
            return values
        beside = random.uniform(-0.25, 0.25, len(values))
        return [dimension.choices.index(value) + aside for value, aside in zip(values, beside, strict=True)]

    traces = [
        go.Scatter(
            x=places(shown),
            y=[trial.loss for trial in shown],
            mode="markers",
            marker={"color": AZURE, "size": 6 if len(shown) < 300 else 4, "opacity": 0.8},
            customdata=[[trial.number, _plain(_value(trial.params[dimension.name]), 60)] for trial in shown],
            hovertemplate="trial %{customdata[0]}<br>%{customdata[1]}<br>loss %{y:.6g}<extra></extra>",
        ),
        go.Scatter(
            x=places([content.best]),
            y=[content.best.loss],
            mode="markers",
            marker={"color": ORANGE, "size": 14, "symbol": "star", "line": {"width": 1, "color": "#5a3d00"}},
            hovertemplate=f"best: trial {content.best.number}<br>loss %{{y:.6g}}<extra></extra>",
        ),
    ]
    if failed:
        traces.append(_failed(places(failed), failed, shown))
    figure = go.Figure(
        traces,
        {
            **_small(dimension),
            "yaxis": _loss_axis(content),
        },
    )
    best = one_line(_value(content.best.params[dimension.name]), 60)
    return Plot(figure, f"{one_line(dimension.name, 60)}: {_kind(dimension)}; best {best}.")


def _dependence(content: Content, dimension: Dimension, found: Dependence, between: list[float]) -> Plot:
    assert content.best is not None
    best = content.best.params[dimension.name]
    if isinstance(dimension, Categorical):
        places = [dimension.choices.index(value) for value in found.values]
        best = dimension.choices.index(best)
        traces = [
            go.Scatter(
                x=places,
                y=found.mean,
                error_y={"array": 2 * found.deviation, "color": GREEN, "thickness": 2, "width": 6},
                mode="markers",
                marker={"color": GREEN, "size": 10},
                customdata=[_plain(_value(value), 60) for value in found.values],
                hovertemplate="%{customdata}<br>expected loss %{y:.6g}<extra></extra>",
            )
        ]
    else:
        upper, lower = found.mean + 2 * found.deviation, found.mean - 2 * found.deviation
        traces = [
            go.Scatter(
                x=[*found.values, *found.values[::-1]],
                y=np.concatenate([upper, lower[::-1]]),
                fill="toself",
                fillcolor="rgba(0,158,115,0.22)",
                mode="lines",
                line={"width": 0},
                hoverinfo="skip",
            ),
            go.Scatter(
                x=found.values,
                y=found.mean,
                mode="lines",
                line={"color": GREEN, "width": 2.5},
                hovertemplate="%{x:.6g}<br>expected loss %{y:.6g}<extra></extra>",
            ),
        ]
    figure = go.Figure(
        traces,
        {
            **_small(dimension),
            "yaxis": {"title": {"text": "expected loss"}, "range": between},
            "shapes": [
                {
                    "type": "line",
                    "x0": best,
                    "x1": best,
                    "yref": "paper",
                    "y0": 0,
                    "y1": 1,
                    "line": {"color": ORANGE, "width": 1.5, "dash": "dot"},
                }
            ],
        },
    )
    lowest = int(np.argmin(found.mean))
    return Plot(
        figure,
        f"{one_line(dimension.name, 60)}: lowest at {one_line(_value(found.values[lowest]), 60)}, where"
        f" {_number(float(found.mean[lowest]))} ± {_number(2 * float(found.deviation[lowest]), 2)} is expected.",
    )


def _small(dimension: Dimension) -> dict[str, Any]:
    """Return the layout of a plot of one parameter, of which several stand side by side."""
    return {
        "height": 270,
        "showlegend": False,
        "margin": {"l": 10, "r": 14, "t": 12, "b": 10},
        "xaxis": _parameter_axis(dimension),
    }


def _parameter_axis(dimension: Dimension) -> dict[str, Any]:
    title = {"title": {"text": _plain(dimension.name, 40)}}
    if isinstance(dimension, Categorical):
        size = len(dimension.choices)
        names = [_plain(_value(choice), min(18, max(7, 36 // size))) for choice in dimension.choices]
        return {**title, "tickvals": list(range(size)), "ticktext": names, "range": [-0.6, size - 0.4]}
    margin = 0.03
    if dimension.prior == "log-uniform":
        low, high = math.log10(dimension.low), math.log10(dimension.high)
        # a tick a decade where there are several, and not all of them where there are many
        ticks = {"dtick": math.ceil((high - low) / 4)} if high - low >= 2 else {}
        edge = margin * (high - low)
        return {**title, "type": "log", "range": [low - edge, high + edge], **ticks}
    edge = margin * (dimension.high - dimension.low)
    return {**title, "range": [dimension.low - edge, dimension.high + edge], "nticks": 6}


def _loss_axis(content: Content) -> dict[str, Any]:
    if _is_log(content):
        losses = [trial.loss for trial in content.complete]
        return {"title": {"text": "loss (log)"}, "type": "log", **_decades(min(losses), max(losses))}
    return {"title": {"text": "loss"}}


def _decades(low: float, high: float) -> dict[str, Any]:
    return {"dtick": math.ceil((math.log10(high) - math.log10(low)) / 6)}


def _is_log(content: Content) -> bool:
    losses = [trial.loss for trial in content.complete]
    return bool(min(losses) > 0 and max(losses) / min(losses) >= DECADES)


def _coordinate(dimension: Dimension, values: list[Any]) -> dict[str, Any]:
    label = {"label": _plain(dimension.name, 16)}
    if isinstance(dimension, Categorical):
        # numbered from below, as they are listed
        places = [dimension.choices.index(value) for value in values]
        # the only text that Plotly shows as it is
        names = [one_line(_value(choice), 14) for choice in dimension.choices]
        edge = 0.0 if len(names) > 1 else 1.0
        return {
            **label,
            "values": places,
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": [-edge, len(names) - 1 + edge],
        }
    if dimension.prior == "log-uniform":
        ends = [math.log10(dimension.low), math.log10(dimension.high)]
        return {**label, "values": [math.log10(value) for value in values], "range": ends, **_ticks(ends)}
    span = dimension.high - dimension.low
    ticks: list[float]
    if isinstance(dimension, Integer) and span <= 12:
        ticks = list(range(dimension.low, dimension.high + 1))
    else:
        ticks = [dimension.low + span * share / 4 for share in range(5)]
    return {
        **label,
        "values": values,
        "range": [dimension.low, dimension.high],
        "tickvals": ticks,
        "ticktext": [_number(tick, 4) for tick in ticks],
    }


def _scaled(values: list[float], log: bool) -> dict[str, Any]:
    if not log:
        low, high = min(values), max(values)
        ticks = [low * (1 - share / 4) + high * share / 4 for share in range(5)] if high > low else [low]
        return {"values": values, "tickvals": ticks, "ticktext": [_number(tick, 4) for tick in ticks]}
    logarithms = [math.log10(value) for value in values]
    return {"values": logarithms, **_ticks(logarithms)}


def _ticks(logarithms: list[float]) -> dict[str, Any]:
    """Ticks of logarithms: at decades, or where there are hardly any at the ends and the middle."""
    low, high = min(logarithms), max(logarithms)
    step = max(1, round((high - low) / 6))
    places: list[float] = list(range(math.ceil(low), math.floor(high) + 1, step))
    if len(places) < 3:
        places = sorted({low, (low + high) / 2, high})
    return {"tickvals": places, "ticktext": [_number(10**place, 4) for place in places]}


def _failed(places: list[Any], failed: Sequence[AnyRow], complete: Sequence[AnyRow]) -> go.Scatter:
    return go.Scatter(
        x=places,
        y=[max(trial.loss for trial in complete)] * len(failed),
        mode="markers",
        name="failed, without a loss",
        marker={"color": VERMILLION, "size": 9, "symbol": "x-thin", "line": {"width": 2, "color": VERMILLION}},
        customdata=[trial.number for trial in failed],
        hovertemplate="trial %{customdata} failed<extra></extra>",
    )


def _best_so_far(content: Content) -> tuple[list[int], list[float]]:
    """Return where the best loss changes, and the last trial."""
    numbers: list[int] = []
    losses: list[float] = []
    for trial in content.complete:
        if not losses or trial.loss < losses[-1]:
            numbers.append(trial.number)
            losses.append(trial.loss)
    last = content.complete[-1].number
    return ([*numbers, last], [*losses, losses[-1]]) if numbers[-1] != last else (numbers, losses)


def _means(content: Content) -> list[tuple[float, float, int]]:
    """Return of each told iteration the middle of its trials' numbers, its mean loss and its number."""
    middles = {
        number: float(np.mean([trial.number for trial in trials]))
        for number, trials in groupby(content.ledger.trials, key=lambda trial: trial.iteration)
    }
    told = [one for one in content.ledger.iterations if one.mean_loss is not None and one.number in middles]
    return [(middles[one.number], one.mean_loss, one.number) for one in told[:: 1 + len(told) // SHOWN]]


def _runs(attempts: Sequence[AnyRow], now: datetime, gap: float) -> list[list[AnyRow]]:
    """Put attempts of one worker together that have one outcome and at most `gap` seconds between them."""
    runs: list[list[AnyRow]] = []
    for attempt in sorted(attempts, key=lambda one: (one.claimed_at, one.trial)):
        last = runs[-1] if runs else []
        if (
            last
            and last[-1].outcome == attempt.outcome
            and (attempt.claimed_at - (last[-1].ended_at or now)).total_seconds() <= gap
        ):
            last.append(attempt)
        else:
            runs.append([attempt])
    return runs


def _told(run: Sequence[AnyRow], seconds: float) -> str:
    worker, outcome = _plain(run[0].worker, 60), run[0].outcome or "running"
    if len(run) > 1:
        trials = [attempt.trial for attempt in run]
        return f"{worker}<br>{len(run)} attempts, {outcome}<br>trials {min(trials)} to {max(trials)}, {seconds:.3g} s"
    error = f"<br>{_plain(run[0].error, 80)}" if run[0].error else ""
    return f"{worker}<br>trial {run[0].trial}, attempt {run[0].number}: {outcome}<br>{seconds:.3g} s{error}"


def _described(trial: AnyRow) -> str:
    named = [f"{_plain(name, 30)} = {_plain(_value(value), 30)}" for name, value in list(trial.params.items())[:8]]
    return "<br>".join([f"trial {trial.number}, iteration {trial.iteration}", *named])


def _no_surrogate(content: Content) -> str:
    if content.best is None:
        return "No trial is complete yet, so there is no surrogate."
    if content.is_extreme:
        return f"There are losses beyond {LARGEST:g}, whose differences are too large to compute with."
    return (
        f"There is no surrogate yet: the first {content.study.resolved.initial_points} points are drawn at random, and"
        " no later ones have been proposed."
    )


def _surrogate(content: Content, first: bool = False) -> str:
    assert content.surrogate is not None
    names = {"GP": "the Gaussian process", "RF": "the random forest", "ET": "the forest of extra trees"}
    name = names[content.surrogate.estimator]
    name = name[0].upper() + name[1:] if first else name
    known, points = content.surrogate.known, content.surrogate.points
    return f"{name} ({known:,} of {points:,} trials known to it)" if known < points else f"{name} of {points:,} trials"


def _counted(content: Content) -> str:
    counts = Counter(trial.state for trial in content.ledger.trials)
    named = [f"{counts[state]} {state}" for state in ("running", "pending", "failed", "cancelled") if counts[state]]
    return f", {', '.join(named)}" if named else ""


def _thinned(content: Content) -> str:
    if len(content.shown) == len(content.ledger.trials):
        return ""
    return (
        f" Shown one by one are {len(content.shown):,} of {len(content.ledger.trials):,} trials: the"
        f" {SHOWN // 2:,} best, and others at even distances."
    )


def _kind(dimension: Dimension) -> str:
    if isinstance(dimension, Categorical):
        return _plural(len(dimension.choices), "choice", "choices")
    scale = ", on a logarithmic axis" if dimension.prior == "log-uniform" else ""
    return f"{_value(dimension.low)} to {_value(dimension.high)}{scale}"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else _number(value) if isinstance(value, float) else json.dumps(value)


def _number(value: float, digits: int = 5) -> str:
    return f"{value:.{digits}g}"


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _plain(text: str, longest: int) -> str:
    """Return text as Plotly shows it as it is: it reads tags and entities, and between dollars TeX."""
    return html.escape(one_line(text, longest), quote=False).replace("$", "&#36;")
