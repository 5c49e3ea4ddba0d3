"""Contour plots of a study's surrogate. A contour plot shows how the value depends on two numeric parameters."""

from collections.abc import Sequence
from itertools import combinations

import plotly.graph_objects as go

from ledger.errors import UsageError
from ledger.proposals.surrogate import JointDependence
from ledger.report import labels
from ledger.report.content import ReportContent
from ledger.report.parameter_axes import parameter_axis
from ledger.report.section import CaptionedFigure, ReportSection
from ledger.report.surrogate_plots import surrogate_name, why_no_surrogate
from ledger.report.theme import ORANGE
from ledger.study.dimensions import Categorical, Dimension
from ledger.text import nearest, one_line

# The report has a contour plot for each pair of two parameters. Only the `PAIRED` most important numeric parameters
# form pairs.
PAIRED = 3
# Number of contour levels between the lowest and the highest value of all contour plots.
LINES = 16
_TITLE = "Contours"


def contour(content: ReportContent, names: Sequence[str] = ()) -> ReportSection:
    """Return one contour plot for each pair of the most important numeric parameters.

    Parameters
    ----------
    content : ReportContent
    names : sequence of str
        The names of two parameters. If `names` is given, the section has only the plot of the two named parameters.

    Raises
    ------
    UsageError
        `names` contains the same name twice. The function also raises UsageError if a parameter in `names` does not
        exist, is categorical, or has only one value.
    """
    numeric = {
        dimension.name: dimension
        for dimension in content.study.space.dimensions
        if not isinstance(dimension, Categorical) and dimension.size() != 1
    }
    for name in names:
        if name not in numeric:
            raise UsageError(
                f"contour: study {content.ledger.study.name} has no numeric parameter {name!r}{nearest(name, numeric)}"
            )
    if len(names) != len(set(names)):
        raise UsageError(
            f"a contour plot needs two different parameters, but both parameters are {names[0]!r}: name another"
            " parameter"
        )
    if len(numeric) < 2:
        count = labels.plural(len(numeric), "numeric parameter", "numeric parameters")
        return ReportSection(
            "contour", _TITLE, f"A contour plot needs two numeric parameters, but the space has {count}."
        )
    if content.surrogate is None:
        return ReportSection("contour", _TITLE, why_no_surrogate(content))
    shown = names or sorted(numeric, key=lambda name: -content.importances[name].total)[:PAIRED]
    pairs = list(combinations(shown, 2))
    joints = [content.surrogate.joint_dependence(*pair) for pair in pairs]
    value_range = (min(float(joint.mean.min()) for joint in joints), max(float(joint.mean.max()) for joint in joints))
    plots = [
        _contour(content, numeric[first], numeric[second], joint, value_range)
        for (first, second), joint in zip(pairs, joints, strict=True)
    ]
    caption = (
        f"The colour shows the {content.value_name} that {surrogate_name(content)} expects for each pair of values."
        f" The expected {content.value_name} is averaged over all other parameters. Each point is a complete trial,"
        " and the star is the best trial. All plots have the same colour scale and the same contour levels."
    )
    if len(numeric) > len(shown) and not names:
        caption += f" The plots show the {PAIRED} most important numeric parameters."
    return ReportSection("contour", _TITLE, caption, plots, (480, 380))


def _contour(
    content: ReportContent,
    first: Dimension,
    second: Dimension,
    joint: JointDependence,
    value_range: tuple[float, float],
) -> CaptionedFigure:
    assert content.best is not None
    across, up = parameter_axis(first).layout(), parameter_axis(second).layout()
    shown = [trial for trial in content.shown if trial.state == "complete"]
    first_name, second_name = (labels.escaped(each.name, 40) for each in (first, second))
    figure = go.Figure(
        [
            go.Contour(
                x=joint.first,
                y=joint.second,
                z=joint.mean,
                # If `coloring` is "heatmap", all plots have the same colour scale.
                contours={"coloring": "heatmap", **_levels(*value_range)},
                line={"width": 0.5},
                coloraxis="coloraxis",
                hovertemplate=f"{first_name} %{{x:.6g}}<br>{second_name} %{{y:.6g}}"
                "<br>expected value %{z:.6g}<extra></extra>",
            ),
            go.Scatter(
                x=[trial.params[first.name] for trial in shown],
                y=[trial.params[second.name] for trial in shown],
                mode="markers",
                marker={"color": "white", "size": 5, "line": {"width": 1, "color": "black"}},
                customdata=[[trial.number, trial.result] for trial in shown],
                hovertemplate=f"trial %{{customdata[0]}}<br>{content.value_name} %{{customdata[1]:.6g}}<extra></extra>",
            ),
            go.Scatter(
                x=[content.best.params[first.name]],
                y=[content.best.params[second.name]],
                mode="markers",
                marker={"color": ORANGE, "size": 15, "symbol": "star", "line": {"width": 1, "color": "black"}},
                hovertemplate=f"best: trial {content.best.number}<br>{content.value_name}"
                f" {content.best.result:.6g}<extra></extra>",
            ),
        ],
        {
            **across,
            "height": 330,
            "yaxis": up["xaxis"],
            # The best value has the colour with the most contrast, both for "minimize" and for "maximize".
            "coloraxis": {
                "reversescale": not content.is_maximised,
                "cmin": value_range[0],
                "cmax": value_range[1],
                "colorbar": {"title": {"text": content.value_name}},
            },
        },
    )
    best = joint.mean.max() if content.is_maximised else joint.mean.min()
    row, column = (int(index[0]) for index in (joint.mean == best).nonzero())
    extreme = "highest" if content.is_maximised else "lowest"
    return CaptionedFigure(
        figure,
        f"{one_line(first.name, 60)} and {one_line(second.name, 60)}: {extreme} expected {content.value_name}"
        f" {labels.number(float(best))}, at {labels.value(joint.first[column])} and"
        f" {labels.value(joint.second[row])}.",
    )


def _levels(lowest: float, highest: float) -> dict[str, float]:
    """Return the levels of the contour lines. If all values are equal, Plotly chooses the levels."""
    size = highest / LINES - lowest / LINES
    return {"start": lowest, "end": highest, "size": size} if size > 0 else {}
