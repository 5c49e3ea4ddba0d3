"""Studies that stop the trials of a built-in model or of an estimator early, without code of the user."""

from typing import Any

import psycopg
import pytest

from tests.databases import new_database
from tests.system.programs import Program

FILE = """
[study]
name = "own"
trials = 18
batch_size = 6
seed = 3
mode = "{mode}"
[objective]
{objective}
[space]
{space}
[optimizer]
base_estimator = "ET"
[stopping]
rule = "{rule}"
eta = 2
audit = 0.0
"""
BOOSTING = {
    "objective": 'model = "xgb"\ndataset = "digits"\nmetric = "neg_log_loss"',
    "space": 'learning_rate = { type = "real", low = 0.01, high = 0.5 }\n'
    'n_estimators = { type = "integer", low = 10, high = 16 }',
}
FOREST = {
    "objective": 'estimator = "sklearn.ensemble:RandomForestClassifier"\ndataset = "digits"\n'
    "params = { n_estimators = 5 }",
    "space": 'max_depth = { type = "integer", low = 1, high = 8 }\n'
    'max_features = { type = "real", low = 0.02, high = 1.0 }',
}


def search(folder, url, settings, *, workers, mode="batch", rule="halving"):
    """Run a study to its end, verify it, and return its trials, its verdicts and its reports."""
    folder.mkdir()
    (folder / "own.toml").write_text(FILE.format(mode=mode, rule=rule, **settings))
    program = Program(folder, DATABASE_URL=url)
    program.run("run", "own.toml", "--workers", str(workers))
    assert "18 trials" in program.run("verify", "own")
    with psycopg.connect(url) as connection:
        return tuple(connection.execute(query).fetchall() for query in QUERIES)


QUERIES: tuple[Any, ...] = (
    "select params, state, loss, pruned_step, pruned_loss from ledger.trial order by number",
    "select trial, rung, step, loss, cutoff, compared, stops from ledger.verdict order by 1, 2",
    "select trial, step, loss from ledger.report order by 1, 2",
)


def states(trials) -> list[str]:
    return [state for _, state, *_ in trials]


@pytest.mark.parametrize("rule", ["halving", "promotion"])
@pytest.mark.parametrize("settings", [BOOSTING, FOREST], ids=["rounds", "rows"])
def test_any_number_of_workers_stops_the_same_trials_of_a_model(settings, rule, url, server, template, tmp_path):
    trials, verdicts, reports = search(tmp_path / "one", url, settings, workers=1, rule=rule)
    if rule == "halving":
        assert states(trials)[:6] == ["complete"] * 6
    assert states(trials).count("pruned") >= 2
    assert states(trials).count("complete") + states(trials).count("pruned") == 18
    last = {trial: loss for trial, _, loss in reports}
    for number, (_, state, loss, _, pruned_loss) in enumerate(trials):
        assert last[number] == (loss if state == "complete" else pruned_loss)
    with new_database(server, template) as other:
        assert search(tmp_path / "two", other, settings, workers=2, rule=rule) == (trials, verdicts, reports)


def test_without_a_rule_a_model_has_the_same_losses_and_no_reports(url, server, template, tmp_path):
    ruled, _, _ = search(tmp_path / "ruled", url, BOOSTING, workers=2)
    with new_database(server, template) as other:
        program = Program(tmp_path / "ruled", DATABASE_URL=other)
        program.run("run", "own.toml", "--workers", "2", "--stopping", "none")
        with psycopg.connect(other) as connection:
            free, _, reports = (connection.execute(query).fetchall() for query in QUERIES)
    assert reports == []
    # The rule stops no trial of the first iteration, so the points of the first iteration are the same.
    assert free[:6] == ruled[:6]


def test_a_rule_in_steady_mode_lets_a_model_end(url, tmp_path):
    trials, _, reports = search(tmp_path / "own", url, BOOSTING, workers=2, mode="steady")
    assert set(states(trials)) <= {"complete", "pruned"}
    assert len({trial for trial, *_ in reports}) == 18


def test_a_rule_for_a_model_needs_no_further_setting(url, tmp_path):
    program = Program(tmp_path, DATABASE_URL=url)
    arguments = ("--model", "xgb", "--stopping", "halving", "--trials", "2", "--dataset", "iris", "--name", "plain")
    program.run("run", *arguments)
    assert "consistent" in program.run("verify", "plain")
    with psycopg.connect(url) as connection:
        rows = connection.execute("select count(distinct trial), max(step) <= 400 from ledger.report").fetchone()
    assert rows == (2, True)
