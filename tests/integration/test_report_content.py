"""The plots and the page of a report, from studies in memory."""

import ast
import html
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from numpy.testing import assert_allclose

from ledger.cli.report import NAMES
from ledger.database.curves import LearningCurve
from ledger.database.overview import BARS, SHOWN, WORKERS, StudyOverview
from ledger.errors import LedgerError, UsageError
from ledger.report import theme
from ledger.report.content import ReportContent
from ledger.report.contour_plots import contour
from ledger.report.curve_plots import curves
from ledger.report.image import png
from ledger.report.page import render
from ledger.report.plots import PLOTS
from ledger.report.surrogate_plots import dependence, importance
from ledger.report.trial_plots import convergence, parallel, parameters
from ledger.report.worker_plots import LARGEST_GAP, timeline
from tests.hostile_pages import HOSTILE, HOSTILE_SPACE, PageText
from tests.unit.overviews import overview
from tests.unit.snapshots import SPACE, snapshot


def studied(*arguments: Any, **facts: Any) -> StudyOverview:
    return overview(snapshot(*arguments, **facts))


def traces(section, index=0):
    return {trace.name: trace for trace in section.plots[index].figure.data}


def test_convergence_shows_values_the_best_so_far_and_means():
    ledger = snapshot(failed=(2, 9))
    section = convergence(ReportContent(overview(ledger)))
    shown = traces(section)
    complete = [trial for trial in ledger.trials if trial.state == "complete"]
    assert list(shown["value of a trial"].x) == [trial.number for trial in complete]
    assert list(shown["value of a trial"].y) == [trial.result for trial in complete]
    best = [min(trial.result for trial in complete[: index + 1]) for index in range(len(complete))]
    steps = dict(zip(shown["best so far"].x, shown["best so far"].y, strict=True))
    assert all(best[index] == steps.get(trial.number, best[index]) for index, trial in enumerate(complete))
    assert set(best) == set(steps.values())
    assert max(steps) == 23, "the line ends at the last trial"
    assert list(shown["mean of an iteration"].y) == [iteration.mean_value for iteration in ledger.iterations]
    assert list(shown["mean of an iteration"].x) == [1.5 + 4 * index for index in range(6)]
    assert list(shown["failed, without a value"].x) == [2, 9]
    best_trial = min(complete, key=lambda trial: trial.result)
    assert f"in trial {best_trial.number}. Of 24 trials, 22 are complete, 2 failed." in section.caption


def test_a_maximised_value_rises_and_its_best_trial_is_the_highest():
    ledger = snapshot(10, objective={"function": "my.code:profit", "direction": "maximize"}, failed=(3,))
    content = ReportContent(overview(ledger))
    complete = [trial for trial in ledger.trials if trial.state == "complete"]
    assert content.best == max(complete, key=lambda trial: trial.result)
    best = list(traces(convergence(content))["best so far"].y)
    assert best == sorted(best)
    assert best[-1] == content.best.result == max(trial.result for trial in complete)
    (trace,) = parallel(content).plots[0].figure.data
    assert list(trace.line.color) == list(trace.dimensions[-1]["values"]), "the best is drawn last"
    assert "A cross at the bottom is a failed trial" in parameters(content).caption
    assert set(parameters(content).plots[0].figure.data[2].y) == {min(trial.result for trial in complete)}
    curve = content.dependences["C"].mean
    minimised = ReportContent(studied(10, objective={"function": "my.code:loss"}, failed=(3,)))
    assert_allclose(curve, -minimised.dependences["C"].mean)
    assert content.importances == minimised.importances
    assert all("highest expected value" in plot.caption for plot in dependence(content).plots)


def test_the_plots_of_a_model_show_its_score():
    content = ReportContent(studied(objective={"model": "svm", "dataset": "iris"}))
    assert convergence(content).plots[0].figure.layout.yaxis.title.text == "accuracy"
    assert content.best is not None
    assert content.best.loss is not None
    assert (
        content.best.value
        == 1 - content.best.loss
        == max(trial.result for trial in content.shown if trial.state == "complete")
    )


def test_losses_over_decades_have_a_logarithmic_axis():
    assert convergence(ReportContent(studied(8))).plots[0].figure.layout.yaxis.type == "log"
    space = [{"name": "shift", "type": "real", "low": -1.0, "high": 1.0}]
    assert convergence(ReportContent(studied(space=space))).plots[0].figure.layout.yaxis.type is None


def test_steady_mode_has_no_means():
    section = convergence(ReportContent(studied(mode="steady")))
    assert "mean of an iteration" not in traces(section)
    assert "In steady mode" in section.caption


def test_parallel_coordinates_have_axes_for_parameters_and_value():
    ledger = snapshot(failed=(0,))
    (trace,) = parallel(ReportContent(overview(ledger))).plots[0].figure.data
    assert [axis.label for axis in trace.dimensions] == ["C", "depth", "kernel", "shift", "value"]
    assert all(len(axis["values"]) == 23 for axis in trace.dimensions)
    assert list(trace.dimensions[0].range) == [-3, 3], "logarithms, for a log-uniform prior"
    assert list(trace.dimensions[1].ticktext) == [str(depth) for depth in range(1, 9)]
    assert list(trace.dimensions[2].ticktext) == ["rbf", "poly", "sigmoid"]
    assert list(trace.line.color) == [-value for value in trace.dimensions[-1]["values"]], "the best is drawn last"


def test_each_parameter_is_shown_on_its_own_scale():
    ledger = snapshot(failed=(0,))
    section = parameters(ReportContent(overview(ledger)))
    axes = [plot.figure.layout.xaxis for plot in section.plots]
    assert [axis.title.text for axis in axes] == ["C", "depth", "kernel", "shift"]
    assert [axis.type for axis in axes] == ["log", None, None, None]
    assert list(axes[2].ticktext) == ["rbf", "poly", "sigmoid"]
    complete = [trial for trial in ledger.trials if trial.state == "complete"]
    points, best, failed = section.plots[2].figure.data
    choices = ["rbf", "poly", "sigmoid"]
    assert [choices[round(place)] for place in points.x] == [trial.params["kernel"] for trial in complete]
    assert list(best.y) == [min(trial.result for trial in complete)]
    assert len(failed.x) == 1


def test_the_surrogate_is_shown_with_its_uncertainty_and_importance():
    content = ReportContent(studied(10, 4))
    section = dependence(content)
    band, curve = section.plots[0].figure.data
    assert list(curve.y) == list(content.dependences["C"].mean)
    width = 4 * content.dependences["C"].deviation
    assert_allclose(band.y[: len(width)] - band.y[len(width) :][::-1], width)
    assert section.plots[2].figure.data[0].error_y.array is not None
    assert len({tuple(plot.figure.layout.yaxis.range) for plot in section.plots}) == 1, "all plots have one value axis"
    bars = traces(importance(content))
    labels = list(importance(content).plots[0].figure.layout.yaxis.ticktext)
    assert bars["alone"].x[labels.index("C")] == content.importances["C"].first
    assert labels[-1] == "kernel", "the most important parameter is at the top"


@pytest.mark.parametrize("estimator", ["RF", "ET"])
def test_forests_are_named(estimator):
    section = dependence(ReportContent(studied(estimator=estimator)))
    assert "forest" in section.caption
    assert "between the trees" in section.caption


def test_a_study_without_a_surrogate_gives_the_reason():
    for plot in (dependence, importance):
        section = plot(ReportContent(studied(modelled=False)))
        assert not section.plots
        assert "There is no surrogate yet: at least the first 4 points are random" in section.caption


def test_the_learning_curves_mark_the_best_trial_and_open_trials():
    studied_ = studied()
    best, other = studied_.best, next(trial for trial in studied_.shown if trial.loss is not None)
    assert best is not None
    assert best != other
    running = replace(other, loss=None, value=None, state="running")
    shown = [
        LearningCurve(best, True, [0, 1], [0.5, None], 2),
        LearningCurve(other, False, list(range(100)), [0.5] * 100, 400),
        LearningCurve(running, False, [0], [1.5], 1),
    ]
    section = curves(ReportContent(replace(studied_, curves=shown)))
    (plot,) = section.plots
    others, dotted, last = plot.figure.data
    assert (last.line.color, last.line.width, list(last.y)) == (theme.ORANGE, 3, [0.5, None])
    assert (others.line.dash, dotted.line.dash, others.mode, dotted.mode) == ("solid", "dot", "lines", "lines+markers")
    assert "running" in dotted.hovertemplate
    assert "3 trials have reported" in section.caption
    assert f"the orange curve is the best trial {best.number}" in section.caption


def test_a_page_without_reports_has_no_section_for_learning_curves():
    plain = studied()
    assert "has reported no values" in curves(ReportContent(plain)).caption
    assert "Learning curves" not in render(plain)
    assert plain.best is not None
    shown = [LearningCurve(plain.best, True, [0], [0.5], 1)]
    assert "Learning curves" in render(replace(plain, curves=shown))


def test_the_timeline_has_rows_for_workers_and_colours_for_outcomes():
    ledger = snapshot(failed=(3,), pending=(22, 23), worker="machine")
    section = timeline(ReportContent(overview(ledger)))
    shown = traces(section)
    assert {name: len(trace.x) for name, trace in shown.items()} == {"complete": 21, "failed": 1}
    assert {name: trace.marker.color for name, trace in shown.items()} == {
        name: theme.OUTCOMES[name] for name in ("complete", "failed")
    }
    assert sorted(section.plots[0].figure.layout.yaxis.ticktext) == ["machine-0", "machine-1"]
    failed = next(attempt for attempt in ledger.attempts if attempt.outcome == "failed")
    assert failed.ended_at is not None
    assert_allclose(shown["failed"].x[0], 1_000 * (failed.ended_at - failed.claimed_at).total_seconds())
    assert "ValueError: no" in shown["failed"].customdata[0]
    assert "22 attempts of 2 workers: 21 complete, 1 failed." in section.caption


def test_a_running_attempt_lasts_until_now():
    ledger = snapshot(1, 1)
    ledger = replace(ledger, attempts=[replace(ledger.attempts[0], outcome=None, ended_at=None)])
    (bar,) = timeline(ReportContent(overview(ledger))).plots[0].figure.data
    assert bar.name == "running"
    assert_allclose(bar.x[0], 1_000 * (ledger.at - ledger.attempts[0].claimed_at).total_seconds())


def test_many_attempts_of_many_workers_stay_readable():
    ledger = snapshot(750, 4, space=SPACE[:1], workers=150, failed=range(0, 3000, 75), modelled=False)
    # one after another, as fast as trials get
    assert len(ledger.attempts) > BARS
    ends = [attempt.ended_at for attempt in ledger.attempts if attempt.ended_at is not None]
    span = (max(ends) - ledger.attempts[0].claimed_at).total_seconds()
    attempts = [
        replace(attempt, ended_at=attempt.claimed_at + timedelta(seconds=2 - span * LARGEST_GAP / 2))
        if attempt.outcome == "complete"
        else attempt
        for attempt in ledger.attempts
    ]
    ledger = replace(ledger, attempts=attempts)
    section = timeline(ReportContent(overview(ledger)))
    figure = section.plots[0].figure
    assert len(figure.layout.yaxis.ticktext) == WORKERS
    assert sum(len(trace.x) for trace in figure.data) < 500
    assert figure.layout.height <= 2_000
    shown = traces(section)
    names = set(figure.layout.yaxis.ticktext)
    assert len(shown["failed"].x) == sum(
        attempt.outcome == "failed" and attempt.worker in names for attempt in ledger.attempts
    )
    assert "The plot shows the 100 workers with the most attempts." in section.caption


def test_only_the_best_and_a_sample_of_many_trials_are_drawn():
    ledger = snapshot(750, 4, space=SPACE[:1], pending=(2999,), modelled=False)
    content = ReportContent(overview(ledger))
    assert len(content.shown) == SHOWN
    numbers = [trial.number for trial in content.shown]
    assert numbers == sorted(set(numbers))
    complete = [trial for trial in ledger.trials if trial.loss is not None]
    best = sorted(complete, key=lambda trial: trial.result)[: SHOWN // 2]
    assert {trial.number for trial in best} <= set(numbers)
    others = [trial.number for trial in content.shown if trial not in best]
    assert len(others) == SHOWN // 2
    assert max(others) > 2_900
    section = convergence(content)
    assert "The plot shows 2,000 of 3,000 trials" in section.caption


STUDIES: dict[str, dict[str, Any]] = {
    "usual": {"failed": (1,), "pending": (23,)},
    "not begun": {"iterations": 0},
    "none complete": {"iterations": 1, "pending": range(4)},
    "all failed": {"iterations": 1, "failed": range(4)},
    "one trial": {"iterations": 1, "batch_size": 1},
    "one constant": {
        "space": [{"name": "one", "type": "categorical", "choices": ["x"]}],
        "iterations": 1,
        "batch_size": 1,
    },
    "one parameter": {"space": SPACE[:1]},
    "random forest": {"estimator": "RF"},
    "steady": {"mode": "steady"},
}


@pytest.mark.parametrize("of", STUDIES)
def test_the_page_of_every_study_loads_nothing_else(of):
    page = render(studied(**STUDIES[of]))
    read = PageText(page)
    for tag, attributes in read.elements:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        for name in ("src", "srcset", "action", "data", "poster"):
            assert name not in attributes, tag
        assert attributes.get("href", "data:,") == "data:,"
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert all("url(" not in style and "@import" not in style for style in styles)
    metas = [attributes for _, attributes in read.elements if "http-equiv" in attributes]
    (policy,) = [meta["content"] for meta in metas if meta["http-equiv"] == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    drawn = json.loads(read.scripts[0])
    plots = [attributes for _, attributes in read.elements if (attributes.get("class") or "").startswith("plot")]
    assert {plot["id"] for plot in plots} == set(drawn["figures"])
    assert all(plot["role"] == "img" and len(plot["aria-label"]) > 20 for plot in plots)
    assert set(drawn["templates"]) == {"light", "dark"}


@pytest.mark.parametrize(
    "loss",
    [
        lambda number: 1.7e308 * (-1) ** number,
        lambda number: 10.0 ** (25 * number - 300),
        lambda number: 5e-324 * (number + 1),
        lambda number: 0.0,
    ],
    ids=["both ends of floats", "all magnitudes", "the least floats", "equal"],
)
def test_losses_of_any_size_have_a_page(loss):
    ledger = snapshot()
    ledger = replace(ledger, trials=[replace(trial, loss=loss(trial.number)) for trial in ledger.trials])
    page = render(overview(ledger))
    figures = json.loads(PageText(page).scripts[0], parse_constant=pytest.fail)["figures"]
    assert "convergence-0" in figures


def test_the_content_of_a_study_is_escaped():
    hostile = snapshot(3, 4, space=HOSTILE_SPACE, failed=(1,), error=HOSTILE, worker=HOSTILE)
    hostile.iterations[0].environment[HOSTILE] = HOSTILE
    assert hostile.trials[0].metrics is not None
    hostile.trials[0].metrics[HOSTILE] = HOSTILE
    harmless = snapshot(3, 4, space=[{**HOSTILE_SPACE[0], "name": "a"}, {**HOSTILE_SPACE[1], "name": "b"}])
    page, plain = PageText(render(overview(hostile))), PageText(render(overview(harmless)))
    scripts = [tag for tag, _ in page.elements if tag == "script"]
    assert len(scripts) == 3, "the figures, Plotly, and the script of the page"
    assert not {tag for tag, _ in page.elements} - {tag for tag, _ in plain.elements}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert HOSTILE in "".join(page.text)
    # Plotly reads tags in labels: they are escaped for it once more
    written = json.loads(page.scripts[0])["figures"]
    for axis in written["parallel-0"]["data"][0]["dimensions"]:
        axis.pop("ticktext", None)  # which it does not

    def strings(value):
        if isinstance(value, dict):
            return [text for item in value.values() for text in strings(item)]
        if isinstance(value, list):
            return [text for item in value for text in strings(item)]
        return [value] if isinstance(value, str) else []

    known = ("<br>", "<extra></extra>")
    for text in strings(written):
        for tag in known:
            text = text.replace(tag, "")
        assert "<" not in text, text


def test_the_best_parameters_can_be_pasted():
    ledger = snapshot()
    text = re.search(r'<pre class="paste">(.*?)</pre>', render(overview(ledger)), re.DOTALL)
    best = ReportContent(overview(ledger)).best
    assert text is not None
    assert best is not None
    assert ast.literal_eval(html.unescape(text[1])) == best.params


def test_a_spec_of_another_version_is_refused():
    ledger = snapshot()
    ledger.study.spec["objective"] = {"model": "of tomorrow"}
    with pytest.raises(LedgerError, match="this version of the ledger cannot read the study's spec"):
        render(overview(ledger))


def test_the_command_lists_every_plot():
    assert list(PLOTS) == list(NAMES)


def test_an_image_of_a_missing_plot_is_refused():
    with pytest.raises(LedgerError, match="dependence cannot be drawn for this study yet: There is no surrogate"):
        png(dependence(ReportContent(studied(modelled=False))))


def test_a_missing_browser_is_reported_with_the_way_out(monkeypatch):
    import choreographer.browsers.chromium

    monkeypatch.setattr(choreographer.browsers.chromium.Chromium, "find_browser", lambda **_: None)
    with pytest.raises(LedgerError, match="neither is installed: install one .* or set BROWSER_PATH"):
        png(convergence(ReportContent(studied())))


def test_a_browser_that_does_not_start_is_reported_in_one_line(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/bin/false")
    with pytest.raises(LedgerError, match="did not start, or crashed .*: set BROWSER_PATH to another browser"):
        png(convergence(ReportContent(studied())))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast_with_the_page(scheme):
    ground = {"light": "#FFFFFF", "dark": "#1A1D23"}[scheme]

    def luminance(colour):
        parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(first, second):
        lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
        return (lighter + 0.05) / (darker + 0.05)

    assert contrast(theme.template(scheme)["layout"]["font"]["color"], ground) > 7
    for colour in (*theme.OUTCOMES.values(), theme.AZURE):
        assert contrast(colour, ground) > 2.0, colour
    for _, colour in theme.template(scheme)["layout"]["coloraxis"]["colorscale"]:
        assert contrast(colour, ground) > 1.7, colour


def test_the_page_names_the_batch_sizes_of_all_iterations():
    ledger = snapshot(iterations=3, batch_size=2)
    assert "3 finished iterations, batch size 2<" in render(overview(ledger))
    grown = replace(ledger, study=replace(ledger.study, changed_batch_size=16))
    assert "3 finished iterations, batch size 16 (before: 2)<" in render(overview(grown))


def test_contours_show_the_pairs_of_the_most_important_parameters():
    content = ReportContent(studied(10, 4))
    section = contour(content)
    numeric = sorted(("C", "depth", "shift"), key=lambda name: -content.importances[name].total)
    pairs = [
        tuple(axis.title.text for axis in (plot.figure.layout.xaxis, plot.figure.layout.yaxis))
        for plot in section.plots
    ]
    assert pairs == [(numeric[0], numeric[1]), (numeric[0], numeric[2]), (numeric[1], numeric[2])]
    scales = {(plot.figure.layout.coloraxis.cmin, plot.figure.layout.coloraxis.cmax) for plot in section.plots}
    means = [plot.figure.data[0].z for plot in section.plots]
    assert scales == {(min(mean.min() for mean in means), max(mean.max() for mean in means))}
    surface, trials, best = section.plots[0].figure.data
    assert surface.z.shape == (len(surface.y), len(surface.x))
    assert len(trials.x) == 40
    assert content.best is not None
    assert (best.x[0], best.y[0]) == tuple(content.best.params[name] for name in pairs[0])


def test_the_mean_of_a_contour_is_the_partial_dependence():
    content = ReportContent(studied(10, 4, space=[SPACE[0], SPACE[3]]))
    surface = contour(content, ["C", "shift"]).plots[0].figure.data[0]
    assert content.surrogate is not None
    curve = content.dependences["C"]
    # With two parameters, the mean of a column over the other parameter is the partial dependence.
    column = surface.z.mean(axis=0)
    expected = [curve.mean[min(range(len(curve.values)), key=lambda at: abs(curve.values[at] - x))] for x in surface.x]
    assert_allclose(column, expected, atol=0.15 * (curve.mean.max() - curve.mean.min()))


def test_contours_of_a_maximised_study_are_the_negative():
    maximised = ReportContent(studied(10, objective={"function": "my.code:profit", "direction": "maximize"}))
    minimised = ReportContent(studied(10, objective={"function": "my.code:loss"}))
    first, second = (contour(each, ["C", "shift"]).plots[0] for each in (maximised, minimised))
    assert_allclose(first.figure.data[0].z, -second.figure.data[0].z)
    assert "highest expected value" in first.caption
    assert (first.figure.layout.coloraxis.reversescale, second.figure.layout.coloraxis.reversescale) == (False, True)


@pytest.mark.parametrize(
    ("space", "modelled", "said"),
    [
        (SPACE[2:], True, "A contour plot needs two numeric parameters, but the space has 1 numeric parameter."),
        (SPACE[2:3], True, "but the space has 0 numeric parameters."),
        (SPACE, False, "There is no surrogate yet"),
    ],
)
def test_a_study_without_contours_gives_the_reason(space, modelled, said):
    section = contour(ReportContent(studied(space=space, modelled=modelled)))
    assert not section.plots
    assert said in section.caption


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["C", "kernel"], "study s has no numeric parameter 'kernel'; there are C, depth, shift"),
        (["C", "shifted"], "no numeric parameter 'shifted'; did you mean 'shift'?"),
        (["C", "C"], "a contour plot needs two different parameters, but both parameters are 'C'"),
    ],
)
def test_wrong_parameters_of_a_contour_are_refused(names, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        contour(ReportContent(studied()), names)
