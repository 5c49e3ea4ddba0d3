"""Plots of a comparison. The plots show each study's best value so far, over the trials and over the time."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from ledger.database.overview import SHOWN
from ledger.report import labels
from ledger.report.axes import axis_of_values, is_wide
from ledger.report.comparison import StudyGroup
from ledger.report.section import CaptionedFigure, ReportSection
from ledger.report.theme import AZURE, BROWN, GREEN, GREY, ORANGE, PURPLE, VERMILLION
from ledger.text import one_line

# The line of each study has one of the colours in `_COLOURS`. If the number of studies exceeds the number of colours in
# `_COLOURS`, the additional studies have dashed lines.
_COLOURS = (AZURE, ORANGE, GREEN, PURPLE, VERMILLION, BROWN, GREY)
_DASHES = ("solid", "dash", "dot")
# The first trials of each study are the early trials. `_EARLY` is the number of early trials, divided by the number of
# all trials of the study. The curve of a study shows the best value so far. The late values of a study are the values
# of the study's curve after the early trials. If the range of the late values is shorter than `_NARROW` times the range
# of all values, the axis shows only the range of the late values. On an axis with the range of all values, a very bad
# first trial would hide the differences between the studies.
_EARLY, _NARROW = 0.1, 0.33
# If a time is shorter than `_SHORTEST` seconds, the plot of the best value over the time shows `_SHORTEST` seconds.
_SHORTEST = 1e-3


def colour(index: int) -> str:
    """Return the colour of the study that has the given index in the group."""
    return _COLOURS[index % len(_COLOURS)]


def comparison_sections(group: StudyGroup, number: int) -> list[ReportSection]:
    """Return the plots of a group of studies.

    Parameters
    ----------
    group : StudyGroup
    number : int
        The number of the group. The first group has the number 0. The names of the sections contain the number of the
        group.
    """
    by_trial, by_time = [], []
    for index, study in enumerate(group.studies):
        if study.by_trial and study.by_time:
            by_trial.append(_BestValueCurve(index, [*study.by_trial, (study.last_trial, study.by_trial[-1][1])]))
            end = max(study.elapsed_seconds, study.by_time[-1][0])
            # A logarithmic axis cannot show 0.
            points = [(max(seconds, _SHORTEST), value) for seconds, value in study.by_time]
            by_time.append(_BestValueCurve(index, [*points, (max(end, _SHORTEST), study.by_time[-1][1])]))
    note = " The time of each study starts when the study is created."
    if any(study.is_sampled for study in group.studies):
        note += f" The line of a study with more than {SHOWN:,} trials shows only a selection of the study's trials."
    ends = [curve.points[-1][0] for curve in by_time]
    seconds: dict[str, Any] = {"title": {"text": "seconds"}, "rangemode": "tozero"}
    if ends and is_wide(min(ends), max(ends)):
        seconds = {"title": {"text": "seconds (log)"}, "type": "log"}
    trial = {"title": {"text": "trial"}}
    return [
        _section(group, f"trials-{number}", "Best value against the trials", by_trial, trial, ""),
        _section(group, f"seconds-{number}", "Best value against the time", by_time, seconds, note),
    ]


class _BestValueCurve(NamedTuple):
    """The curve of one study's best value so far. The attribute `study` is the index of the study in its group."""

    study: int
    points: list[tuple[float, float]]


def _section(
    group: StudyGroup, name: str, title: str, curves: Sequence[_BestValueCurve], axis: dict[str, Any], note: str
) -> ReportSection:
    best = group.best
    if best is None:
        return ReportSection(name, title, "No trial is complete yet.")
    traces = []
    for index, points in curves:
        study = labels.escaped(group.studies[index].name, 40)
        traces.append(
            go.Scatter(
                x=[x for x, _ in points],
                y=[value for _, value in points],
                mode="lines",
                name=study,
                line={"color": colour(index), "width": 2.5, "shape": "hv", "dash": _DASHES[index // len(_COLOURS)]},
                hovertemplate=f"{study}<br>%{{x:.6g}}: {group.value_name} %{{y:.6g}}<extra></extra>",
            )
        )
    values = [value for curve in curves for _, value in curve.points]
    value_axis = axis_of_values(group.value_name, min(values), max(values))
    shown = _range_after_start(group)
    if shown is not None and "type" not in value_axis:
        value_axis["range"] = shown
        note += f" The plot does not show the worst values among the first {_EARLY:.0%} of the trials."
    layout = {"height": 380, "showlegend": True, "xaxis": axis, "yaxis": value_axis}
    caption = (
        f"Each line shows how the best {group.value_name} of one study improves. The best {group.value_name} of all"
        f" studies is {labels.number(best.best_value or 0.0)}, in study {one_line(best.name, 60)}.{note}"
    )
    return ReportSection(name, title, caption, [CaptionedFigure(go.Figure(traces, layout), caption)])


def _range_after_start(group: StudyGroup) -> list[float] | None:
    """Return the range of the axis, or None if the axis must show the range of all values."""
    late, every = [], []
    for study in group.studies:
        if study.by_trial:
            every += [value for _, value in study.by_trial]
            reached = [value for trial, value in study.by_trial if trial <= _EARLY * study.last_trial]
            late += [reached[-1] if reached else study.by_trial[0][1], study.by_trial[-1][1]]
    # The code halves the values before the subtraction, because the difference between two large values could exceed
    # the largest float.
    length = max(late) / 2 - min(late) / 2
    if not 0 < length < _NARROW * (max(every) / 2 - min(every) / 2):
        return None
    return [min(late) - length / 10, max(late) + length / 10]
