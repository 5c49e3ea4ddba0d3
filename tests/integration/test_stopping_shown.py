"""Pruned trials and verdicts in the commands, in Python, in the report and in Optuna."""

import json
import re
from typing import Any

import optuna
import psycopg
import pytest
from optuna.storages import RDBStorage
from sqlalchemy.pool import NullPool

import ledger
from ledger.database import overview, protocol, studies, trials
from ledger.database.trials import ExternalTrial
from ledger.optuna import connect as reading
from ledger.optuna import views as optuna_views
from ledger.optuna.export import write_optuna
from ledger.report.content import ReportContent
from ledger.report.curve_plots import curves
from ledger.study.early_stopping import EarlyStopping
from tests.integration.ledgers import add_iteration, make_study, spec, take, tell
from tests.integration.test_commands import Run
from tests.integration.test_commands import run as run

NAN = float("nan")


def train(connection: psycopg.Connection[Any], losses: dict[int, float]) -> None:
    held = take(connection)
    for step, loss in losses.items():
        if protocol.report(connection, held, [step], [loss]) == "stop":
            assert protocol.prune(connection, held, 20.0) == "pruned"
            return
    last = list(losses.values())[-1]
    protocol.complete(connection, held, 0.0 if last != last else last, {}, 2.0)


@pytest.fixture
def decided(request, db, connection, url, run: Run, monkeypatch) -> str:
    """The study s: trials 0 and 1 are complete, trial 2 is pruned at step 3, and trial 3 has only one report."""
    options = getattr(request, "param", {})
    rule = {"rule": "halving", "eta": 2, "min_resource": 2, "max_resource": 8, "audit": 0.0, **options.get("rule", {})}
    objective = {"function": "own.code:score", "direction": options.get("direction", "minimize")}
    settings = {
        **spec(2),
        "objective": objective,
        "mode": options.get("mode", "batch"),
        "resolved": {"initial_points": 2},
    }
    row = studies.create(
        db, "s", {**settings, "stopping": EarlyStopping(**rule).model_dump(exclude_none=True)}, "0" * 64, 5, {}
    )
    assert row is not None
    add_iteration(db, row, 0, 2)
    train(connection, {1: 0.75, 2: 0.5, 5: 0.25})
    train(connection, {1: 0.75, 2: 0.75, 5: 0.5})
    assert tell(db, row, 0, 0.375, 0.25) == "told"
    add_iteration(db, row, 1, 3)
    train(connection, {1: 0.75, 2: 0.25, 3: 0.875, 5: NAN, 6: 0.1})
    train(connection, {0: 0.5})
    train(connection, {2: 0.25, 4: 0.125, 7: 0.0625})
    monkeypatch.setenv("DATABASE_URL", url)
    return str(url)


def why(run: Run, number: int) -> list[str]:
    """Return what the command says about the rule, without what it says about the point."""
    code, out, error = run("why", "s", str(number))
    assert (code, error) == (0, "")
    lines = out.splitlines()
    return lines[: next(place for place, line in enumerate(lines) if line.startswith("point: "))]


def test_why_says_in_words_what_the_rule_decided(decided, run: Run):
    assert why(run, 0) == [
        "trial 0 of study s is complete",
        "rung 2: at step 2, the trial had the value 0.5, and goes on, because the rule compared the trial with only 0"
        " trials of earlier iterations (eta is 2)",
        "rung 4: at step 2, the trial had the value 0.5, and goes on, because the rule compared the trial with only 0"
        " trials of earlier iterations (eta is 2)",
    ]
    assert why(run, 2) == [
        "trial 2 of study s is pruned: the training ended early, after the verdict on step 3",
        "rung 2: at step 2, the trial had the value 0.25; the best 1/2 of the trials go on; the rule compared the"
        " trial with 2 trials of earlier iterations, and a trial with a better value than 0.5 goes on; the trial goes"
        " on",
        "rung 4: at step 3, the trial had the value 0.875; the best 1/2 of the trials go on; the rule compared the"
        " trial with 2 trials of earlier iterations, and a trial with a better value than 0.5 goes on; the rule stops"
        " the trial",
    ]
    assert why(run, 3) == [
        "trial 3 of study s is complete",
        "the trial has reached no rung of the rule halving: its reports end below the first rung",
    ]


@pytest.mark.parametrize(
    "decided", [{"direction": "maximize", "rule": {"rule": "median", "audit": 1.0}}], indirect=True
)
def test_why_speaks_of_values_and_of_the_audit(decided, run: Run):
    lines = why(run, 2)
    assert lines[0] == "trial 2 of study s is complete"
    assert lines[2] == (
        "rung 4: at step 3, the trial had the value -0.875; the better half of the trials go on; the rule compared the"
        " trial with 2 trials of earlier iterations, and a trial with a better value than -0.75 goes on; the rule stops"
        " the trial"
    )
    assert (
        lines[-1]
        == "the rule never stops 100% of the trials (audit), and this trial is one of them, so the trial went on"
    )


@pytest.mark.parametrize("decided", [{"mode": "steady"}], indirect=True)
def test_why_speaks_of_arrivals_in_steady_mode(decided, run: Run):
    assert why(run, 4)[1] == (
        "rung 2: at step 2, the trial had the value 0.25; the best 1/2 of the trials go on; the rule compared the trial"
        " with 3 trials that reached the rung earlier, and a trial with a better value than 0.5 goes on; the trial goes"
        " on"
    )


def test_why_of_a_study_without_a_rule(db, url, run: Run, monkeypatch):
    row = studies.create(db, "s", {**spec(1), "resolved": {"initial_points": 1}}, "0" * 64, 1, {})
    assert row is not None
    add_iteration(db, row, 0, 1)
    monkeypatch.setenv("DATABASE_URL", url)
    assert why(run, 0)[1] == (
        "the study has no rule of early stopping: set the key rule in the table [stopping] of a new study"
    )


def test_why_prints_one_document(decided, run: Run):
    code, out, _ = run("why", "s", "2", "--json")
    document = json.loads(out)
    assert (code, document["state"], document["pruned_step"], document["pruned_loss"]) == (0, "pruned", 3, 0.875)
    assert [(verdict["rung"], verdict["stops"]) for verdict in document["verdicts"]] == [(2, False), (4, True)]


def test_the_commands_count_and_show_pruned_trials(decided, run: Run, tmp_path):
    for command, said in (
        (("status", "s"), "4 complete, 1 pruned"),
        (("status", "s"), "3 steps avoided by early stopping (about 0:00:12 of training)"),
        (("study", "show", "s"), "4 complete, 1 pruned"),
        (("trial", "show", "s", "2"), "pruned      at step 3; `ledger why s 2` says why"),
        (("trial", "list", "s", "--state", "pruned"), "pruned"),
        (("report", "s", "--output", str(tmp_path / "s.html")), ""),
    ):
        code, out, error = run(*command)
        assert code == 0, error
        assert said in out
    page = (tmp_path / "s.html").read_text()
    assert "1 pruned" in page
    assert "3 steps, about 12.0 s of training" in page
    cells = re.findall(r'<td class="number">(.*?)</td>', page)
    assert [cells[place : place + 6] for place in range(0, len(cells), 6)] == [
        ["2", "4", "0", "0%", "0", "0"],
        ["4", "4", "1", "25%", "0", "0"],
    ]
    listed = json.loads(run("study", "list", "--json")[1])
    assert [(study["complete"], study["pruned"], study["ended"]) for study in listed] == [(4, 1, 5)]


def test_the_status_shows_the_steps_of_running_trials_and_saved_steps(decided, db, connection, run: Run):
    row = studies.get(db, "s")
    # the study did not save the steps of a trial that another program pruned
    trials.import_finished(db, row.id, [ExternalTrial({"C": 999.0}, 0.5, {}, pruned_step=1)], None)
    assert tell(db, row, 1, 0.28125, 0.0625) == "told"
    add_iteration(db, row, 2, 2)
    protocol.announce(connection, "w", "host", 7, {})
    held = take(connection)
    protocol.report(connection, held, [0, 1], [0.5, 0.25])
    shown = json.loads(run("status", "s", "--json")[1])
    # the rung stopped trial 2 for its report of step 3, but the trial ended at step 5 of 8
    assert (shown["saved_steps"], shown["saved_seconds"]) == (3, 12.0)
    assert [(worker["trial"], worker["step"]) for worker in shown["workers"]] == [(held.trial, 1)]
    assert f"trial {held.trial}, step 1" in run("status", "s")[1]
    assert protocol.fail(connection, held, "error", 1.0) == "retry"
    assert take(connection).trial == held.trial
    assert json.loads(run("status", "s", "--json")[1])["workers"][0]["step"] is None, "of the present attempt"


def test_the_status_of_a_study_without_a_rule_shows_the_steps_too(db, url, connection, run: Run, monkeypatch):
    make_study(db)
    protocol.announce(connection, "w", "host", 7, {})
    held = take(connection)
    monkeypatch.setenv("DATABASE_URL", url)
    assert json.loads(run("status", "s", "--json")[1])["workers"][0]["step"] is None
    assert "step" not in run("status", "s")[1]
    protocol.report(connection, held, [0, 1], [0.5, 0.25])
    shown = json.loads(run("status", "s", "--json")[1])
    assert (shown["saved_steps"], shown["saved_seconds"], shown["workers"][0]["step"]) == (None, None, 1)
    assert f"trial {held.trial}, step 1" in run("status", "s")[1]


@pytest.mark.parametrize("decided", [{}, {"rule": {"audit": 1.0}}], ids=["pruned", "audited"], indirect=True)
def test_the_report_counts_the_rungs_and_marks_pruned_curves(decided, db):
    shown = overview.read(db, studies.get(db, "s"))
    audited = [4, 4] if shown.progress.pruned == 0 else [0, 0]
    assert [rung.rung for rung in shown.rungs] == [2, 4]
    assert [rung.trials for rung in shown.rungs] == [4, 4]
    assert [rung.stopped for rung in shown.rungs] == [0, 1]
    assert [rung.audited for rung in shown.rungs] == audited
    assert [rung.continued for rung in shown.rungs] == [0, 1 if shown.progress.pruned == 0 else 0]
    section = curves(ReportContent(shown))
    crosses = [trace for trace in section.plots[0].figure.data if trace.marker.symbol is not None]
    assert len(crosses) == shown.progress.pruned
    assert all(trace.marker.symbol[-1] == "x" and "pruned" in trace.hovertemplate for trace in crosses)
    assert ("A curve ends with a cross" in section.caption) == bool(crosses)


def test_the_report_of_a_study_without_a_rule_has_no_rungs(db):
    shown = overview.read(db, make_study(db))
    assert shown.rungs == ()


def test_python_shows_where_a_trial_was_pruned(decided):
    result = ledger.load_study("s", database=decided)
    assert [trial.state for trial in result.trials] == ["complete", "complete", "pruned", "complete", "complete"]
    pruned = result.trials[2]
    assert (pruned.pruned_step, pruned.pruned_loss, pruned.value, pruned.loss) == (3, 0.875, None, None)
    assert result.best_trial.number == 4
    assert "1 pruned" in result._repr_html_()
    assert result.trials_dataframe()["pruned_step"].tolist()[2] == 3


def test_optuna_shows_a_pruned_trial_with_its_intermediate_values(decided, db, tmp_path):
    assert optuna_views.enable(db)
    exported = tmp_path / "study.db"
    write_optuna(db, studies.get(db, "s"), exported)
    with reading.storage(decided) as storage:
        for read in (storage, RDBStorage(f"sqlite:///{exported}", engine_kwargs={"poolclass": NullPool})):
            pruned = optuna.load_study(study_name="s", storage=read).trials[2]
            assert pruned.state == optuna.trial.TrialState.PRUNED
            # the report of step 5 showed that the trial had reached the rung at step 4
            assert {**pruned.intermediate_values, 5: None} == {1: 0.75, 2: 0.25, 3: 0.875, 5: None}
