"""`ledger compare`, and the plots, the best model and the code of a result, for studies of a real database."""

import csv
import json
import uuid
from typing import Any

import pytest

import ledger as package
from benchmarks import large
from benchmarks.ledgers import Ledger
from ledger.cli import program
from ledger.comparison import read_comparison
from ledger.database import overview, protocol, studies, study_curves, trials
from ledger.errors import LedgerError, UsageError
from ledger.manager.registration import register
from ledger.study.file import assemble
from tests.integration.ledgers import claim_one, managed


@pytest.fixture
def ledger(url, capsys):
    def run(*arguments: str) -> str:
        program.main([*arguments, "--database-url", url], standalone_mode=False)
        return str(capsys.readouterr().out)

    return run


def search(db: Any, connection: Any, name: str, **settings: Any) -> None:
    """A study whose manager is real, and whose trials have the distance of C from 1 as their loss."""

    def work(_progress: object) -> None:
        while (held := claim_one(connection, name, uuid.uuid4(), "w")) is not None:
            loss = min(1.0, abs(held.params.get("C", 2.0) - 1) / 1e3)
            protocol.complete(connection, held, loss, {"accuracy": 1 - loss}, 0.25)

    table = {"name": name, "trials": 12, "batch_size": 4, **settings}
    managed(db, register(db, assemble(table)), work).run()


def test_studies_are_compared_in_the_terminal_as_json_and_as_a_page(db, connection, ledger, tmp_path):
    search(db, connection, "a")
    search(db, connection, "b", base_estimator="RF", seed=8)
    out = ledger("compare", "a", "b")
    assert out.startswith("svm on breast_cancer, accuracy, maximize\nstudy ")
    assert "\nsetting that differs" in out
    assert "\noptimizer.base_estimator  GP  RF\n" in out
    page = tmp_path / "comparison.html"
    document = json.loads(ledger("compare", "a", "b", "--json", "--output", str(page)))
    assert "Settings that differ" in page.read_text()
    (group,) = document["groups"]
    assert group["differences"] == [
        {"setting": "seed", "values": ["42", "8"]},
        {"setting": "optimizer.base_estimator", "values": ["GP", "RF"]},
    ]
    for study in group["studies"]:
        best = trials.best(db, studies.get(db, study["study"]).id)
        assert best is not None
        assert (study["best_trial"], study["best_value"]) == (best.number, best.value)
        assert study["params"] == best.params
        assert study["by_trial"][-1] == {"trial": best.number, "value": best.value}
        assert study["by_time"][-1]["seconds"] == study["best_seconds"] <= study["elapsed_seconds"]


def test_the_command_refuses_an_unlike_study(db, connection, ledger, tmp_path):
    search(db, connection, "a")
    search(db, connection, "b", dataset="iris")
    page = tmp_path / "comparison.html"
    with pytest.raises(UsageError, match=r"study b has another dataset \(iris\) than study a \(breast_cancer\)"):
        ledger("compare", "a", "b", "--output", str(page))
    assert not page.exists()
    out = ledger("compare", "a", "b", "--set-apart")
    assert out.count(", accuracy, maximize\n") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "a"], 'study "a" is given twice'),
        (["a", "none"], "there is no study 'none'"),
        (["a", "--output", "missing/c.html"], "missing is not a folder"),
    ],
)
def test_a_wrong_comparison_is_refused(db, connection, ledger, arguments, said):
    register(db, assemble({"name": "a"}))
    with pytest.raises(LedgerError, match=said):
        ledger("compare", *arguments)


@pytest.mark.parametrize("name", large.STUDIES)
def test_a_large_study_is_compared_from_a_selection(url, db, monkeypatch, tmp_path, name):
    large.fill(Ledger(url, tmp_path), name, 400)
    row = studies.get(db, name)
    every = study_curves.read(db, row)
    complete = sorted(
        (trial.finished_at, trial.number, trial.loss)
        for trial in trials.all_of(db, row.id)
        if trial.finished_at is not None and trial.loss is not None
    )
    losses = [loss for _, _, loss in complete]
    improved = [number for index, (_, number, loss) in enumerate(complete) if loss < min(losses[:index], default=9e9)]
    assert [each.trial for each in every.by_time] == improved
    assert not every.is_sampled
    monkeypatch.setattr(overview, "SHOWN", 30)
    monkeypatch.setattr(overview, "PAGE", 7)
    some = study_curves.read(db, row)
    assert some.is_sampled
    assert some.by_trial == overview.thinned(every.by_trial)
    assert some.by_time[-1].value == every.by_time[-1].value
    assert read_comparison(db, [name], set_apart=False).best.best_value == every.by_time[-1].value


def test_a_deleted_study_is_reported(db):
    row = register(db, assemble({"name": "a"}))
    studies.delete(db, row)
    with pytest.raises(LedgerError, match="study a was deleted while it was read"):
        study_curves.read(db, row)


def test_a_result_has_the_plots_of_the_report(db, connection, url):
    search(db, connection, "a")
    plot = package.load_study("a", url).plot
    assert plot.convergence().data[1].name == "best so far"
    assert plot.slice("C").layout.xaxis.title.text == "C"
    assert len(plot.slice().data) == 4, "points and the best trial of two parameters"
    assert plot.contour("gamma", "C").layout.xaxis.title.text == "gamma"
    assert [axis.label for axis in plot.parallel().data[0].dimensions] == ["C", "gamma", "accuracy"]
    assert set(plot.importance().layout.yaxis.ticktext) == {"C", "gamma"}
    assert plot.timeline().data[0].name == "complete"
    assert all(figure.layout.paper_bgcolor == "white" for figure in (plot.slice(), plot.timeline()))
    with pytest.raises(UsageError, match="slice: study a has no parameter 'D'"):
        plot.slice("D")
    with pytest.raises(UsageError, match="contour needs two parameters, but only one is given"):
        plot.contour("C")
    with pytest.raises(UsageError, match="contour: study a has no numeric parameter 'D'"):
        plot.contour("C", "D")


def test_a_study_without_trials_has_no_plots(db, url):
    register(db, assemble({"name": "a"}))
    result = package.load_study("a", url)
    for draw in (result.plot.convergence, result.plot.slice, result.plot.parallel, result.plot.importance):
        with pytest.raises(LedgerError, match="cannot be drawn for this study yet: No trial is complete yet"):
            draw()
    with pytest.raises(LedgerError, match="cannot be drawn for this study yet: No worker has claimed a trial"):
        result.plot.timeline()
    for use in (result.refit, lambda: result.best_code):
        with pytest.raises(LedgerError, match="study a has no complete trial yet"):
            use()


def test_a_missing_plotly_is_reported(db, url, monkeypatch):
    import sys

    register(db, assemble({"name": "a"}))
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(LedgerError, match="a plot needs plotly, which is not installed: pip install plotly"):
        package.load_study("a", url).plot.convergence()


def test_the_best_model_of_a_data_file_comes_from_the_ledger(db, connection, url, ledger, tmp_path, monkeypatch):
    file = tmp_path / "rows.csv"
    with file.open("w", newline="") as opened:
        rows = [[index % 7, "x" if index % 3 else "y", "yes" if index % 7 > 3 else "no"] for index in range(60)]
        csv.writer(opened).writerows([["a", "b", "kind"], *rows])
    search(db, connection, "a", data=str(file), target_column="kind")
    result = package.load_study("a", url)
    model = result.refit()
    assert model.n_features_in_ == 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(result.best_code, names)
    printed = ledger("best", "a", "--as", "code")
    assert printed == result.best_code + "\n"
    expected = model.predict(names["model"][0].transform(names["features"]))
    assert names["model"].predict(names["features"]).tolist() == expected.tolist()


FUNCTION = """
[study]
name = "f"
[objective]
function = "my.code:loss"
[space]
x = { type = "real", low = 0.0, high = 1.0 }
"""


def test_the_code_of_a_function_is_not_printed(db, ledger, tmp_path):
    file = tmp_path / "f.toml"
    file.write_text(FUNCTION)
    register(db, assemble({}, file))
    with pytest.raises(UsageError, match="--as code: .* because the objective is a function"):
        ledger("best", "f", "--as", "code")
    with pytest.raises(UsageError, match="--json prints the parameters: leave --as code out"):
        ledger("best", "f", "--as", "code", "--json")
