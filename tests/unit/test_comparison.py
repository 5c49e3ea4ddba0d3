"""Comparisons of studies in memory: their groups, differences, plots and page."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import ledger
from ledger.comparison import MOST_STUDIES, StudyComparison, check_names
from ledger.database.study_curves import StudyCurve, TimedImprovement
from ledger.errors import LedgerError, UsageError
from ledger.report.comparison import group_studies
from ledger.report.comparison_page import render_comparison
from ledger.report.comparison_plots import comparison_sections
from tests.hostile_pages import HOSTILE, HOSTILE_SPACE, PageText
from tests.unit.overviews import overview
from tests.unit.snapshots import BEGUN, snapshot

SVM: dict[str, Any] = {"model": "svm", "dataset": "iris"}


def curve(name: str, *, code: str | None = None, budget: int | None = None, **facts: Any) -> StudyCurve:
    """The course of a study in memory, whose trials ended in the order of their numbers."""
    ledger_ = snapshot(modelled=False, **facts)
    read = overview(ledger_)
    ended = {trial.number: trial.finished_at for trial in ledger_.trials if trial.finished_at is not None}
    times = [
        TimedImprovement((ended[each.trial] - BEGUN).total_seconds(), each.trial, each.value)
        for each in read.improvements
    ]
    study = replace(read.study, name=name, budget=budget or read.study.budget)
    progress = replace(read.progress, study=name, elapsed=timedelta(seconds=90))
    return StudyCurve(
        BEGUN, study, progress, code, read.best, read.improvements, times, read.last_complete or 0, is_sampled=False
    )


def compared(*curves: StudyCurve, set_apart: bool = False) -> StudyComparison:
    return StudyComparison(group_studies(curves, set_apart=set_apart), BEGUN)


def test_a_group_has_the_best_of_each_study_and_the_settings_that_differ():
    first, second = curve("a"), curve("b", batch_size=2, estimator="RF", budget=99, code="f" * 64)
    comparison = compared(first, second)
    (group,) = comparison.groups
    assert (group.objective, group.dataset, group.metric, group.direction) == ("my.code:loss", None, None, "minimize")
    for study, read in zip(comparison.studies, (first, second), strict=True):
        assert read.best is not None
        assert (study.best_trial, study.best_value) == (read.best.number, read.best.value)
        assert [*study.best_params] == ["C", "depth", "kernel", "shift"]
        assert study.by_trial[-1] == (study.best_trial, study.best_value)
        assert study.by_time[-1] == (study.best_seconds, study.best_value)
    assert group.differences == {
        "batch_size": ("4", "2"),
        "optimizer.base_estimator": ("GP", "RF"),
        "trials": ("24", "99"),
        "code": (None, "SHA-256 ffffffffffff"),
    }
    values = [study.best_value for study in comparison.studies]
    assert comparison.best.best_value == min(value for value in values if value is not None)


def test_the_best_of_maximised_studies_is_the_highest():
    profit = {"function": "my.code:profit", "direction": "maximize"}
    comparison = compared(curve("a", objective=profit, iterations=1), curve("b", objective=profit, iterations=8))
    values = [study.best_value or 0.0 for study in comparison.studies]
    assert values[0] < values[1]
    assert comparison.best.name == "b"


@pytest.mark.parametrize(
    ("objective", "what"),
    [
        ({"model": "xgb", "dataset": "iris"}, "objective (xgb) than study a (svm)"),
        ({"model": "svm", "dataset": "wine"}, "dataset (wine) than study a (iris)"),
        ({**SVM, "metric": "balanced_accuracy"}, "metric (balanced_accuracy) than study a (accuracy)"),
        ({"function": "my.code:loss"}, "objective (my.code:loss) than study a (svm)"),
    ],
)
def test_an_unlike_study_is_refused_or_set_apart(objective, what):
    curves = [curve("a", objective=SVM), curve("b", objective=objective), curve("c", objective=SVM)]
    with pytest.raises(UsageError) as refused:
        compared(*curves)
    assert str(refused.value).startswith(f"study b has another {what}; leave study b out")
    apart = compared(*curves, set_apart=True)
    assert [[study.name for study in group.studies] for group in apart.groups] == [["a", "c"], ["b"]]
    with pytest.raises(LedgerError, match="the comparison has several groups, so it has no best study"):
        _ = apart.best


def test_another_direction_is_refused():
    profit = {"function": "my.code:loss", "direction": "maximize"}
    with pytest.raises(UsageError, match=r"another direction \(maximize\) than study a \(minimize\)"):
        compared(curve("a"), curve("b", objective=profit))


def test_a_file_is_known_by_its_content():
    def data(sha256: str, name: str) -> dict[str, Any]:
        file = {"name": name, "sha256": sha256 * 64, "target_column": "y", "format": "csv", "rows": 9}
        return {"model": "svm", "data": file}

    same = compared(curve("a", objective=data("a", "one.csv")), curve("b", objective=data("a", "two.csv")))
    assert same.groups[0].differences == {"objective.data.name": ("one.csv", "two.csv")}
    with pytest.raises(UsageError, match=r"another dataset \(two.csv \(SHA-256 b{12}\)\) than"):
        compared(curve("a", objective=data("a", "one.csv")), curve("b", objective=data("b", "two.csv")))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "0 studies are given; pass the names of 1 to 12 studies"),
        (
            [str(number) for number in range(MOST_STUDIES + 1)],
            "13 studies are given; pass the names of 1 to 12 studies",
        ),
        (["a", "b", "a"], 'study "a" is given twice'),
        ([None], "the name of a study must be a text"),
    ],
)
def test_the_names_are_checked_before_the_ledger_is_read(names, message):
    with pytest.raises(UsageError, match=message):
        check_names(names)
    with pytest.raises(UsageError, match=message):
        ledger.compare(*names, database="host=/nowhere")


def test_the_plots_have_a_line_for_each_study_to_its_end():
    (group,) = compared(curve("a"), curve("b", iterations=3), curve("none", iterations=0)).groups
    by_trial, by_time = comparison_sections(group, 0)
    for section in (by_trial, by_time):
        assert [trace.name for trace in section.plots[0].figure.data] == ["a", "b"]
        assert len({trace.line.color for trace in section.plots[0].figure.data}) == 2
    first = by_trial.plots[0].figure.data[0]
    assert (first.x[-1], first.y[-1]) == (23, group.studies[0].best_value)
    assert by_time.plots[0].figure.data[0].x[-1] == 90
    assert f"in study {compared(curve('a'), curve('b', iterations=3)).best.name}." in by_trial.caption


def test_twelve_studies_have_different_lines():
    (group,) = compared(*(curve(str(number), iterations=1) for number in range(MOST_STUDIES))).groups
    traces = comparison_sections(group, 0)[0].plots[0].figure.data
    assert len({(trace.line.color, trace.line.dash) for trace in traces}) == MOST_STUDIES


def test_the_page_escapes_the_studies_and_loads_nothing():
    hostile = curve(HOSTILE[:60], space=HOSTILE_SPACE)
    page = PageText(render_comparison(compared(hostile, curve("b", space=HOSTILE_SPACE, batch_size=2)).groups, BEGUN))
    assert [tag for tag, _ in page.elements if tag == "script"] == ["script"] * 3
    assert not [tag for tag, _ in page.elements if tag in ("img", "iframe", "a")]
    for _, attributes in page.elements:
        assert not {"src", "onerror", "action"} & set(attributes)
    figures = json.loads(page.scripts[0])["figures"]
    assert set(figures) == {"trials-0-0", "seconds-0-0"}
    assert {dict(attributes).get("id") for _, attributes in page.elements} >= set(figures)


@pytest.mark.parametrize("count", [1, 2])
def test_the_page_of_studies_without_trials_says_so(count):
    page = render_comparison(compared(*(curve(str(each), iterations=0) for each in range(count))).groups, BEGUN)
    assert page.count("No trial is complete yet.") == 3
    said = "The group has only one study." if count == 1 else "The studies have the same settings."
    assert said in page
    with pytest.raises(LedgerError, match="no study of the comparison has a complete trial yet"):
        _ = compared(curve("a", iterations=0)).best


def test_a_notebook_shows_escaped_tables():
    shown = compared(curve("<b>a</b>"), curve("b", batch_size=2))._repr_html_()
    assert "&lt;b&gt;a&lt;/b&gt;" in shown
    assert "<b>a</b>" not in shown
    assert re.search(r"batch_size</td><td[^>]*>4</td><td[^>]*>2<", shown)


def test_a_bad_first_trial_does_not_hide_the_differences():
    first, second = curve("a"), curve("b")
    (group,) = compared(first, second).groups
    values = ((0, 20.0), (1, 1.5), (20, 1.0)), ((0, 1.8), (12, 1.2))
    studies = [replace(study, by_trial=points) for study, points in zip(group.studies, values, strict=True)]
    section = comparison_sections(replace(group, studies=tuple(studies)), 0)[0]
    low, high = section.plots[0].figure.layout.yaxis.range
    assert 0.9 < low < 1.0 < 1.8 < high < 1.9
    assert "does not show the worst values among the first 10% of the trials" in section.caption
