"""Workers that stop trials early: objectives that ask, objectives that do not, and programs."""

from typing import Any

import psycopg
import pytest

from tests.databases import new_database
from tests.system.programs import CURVE, Program

OBJECTIVE = """
import time

import ledger

def curve(params, context):
    # an offset that no surrogate can learn, so that many trials are bad
    offset = context.seed % 101 / 50
    for step in range(1, 10):
        yield step, offset + (params["x"] - 0.3) ** 2 + 0.2 * (1 + params["x"]) / step

def asks(params, context):
    for step, loss in curve(params, context):
        context.report(loss, step)
        if context.should_prune():
            raise ledger.TrialPruned
    return loss

def never_asks(params, context):
    for step, loss in curve(params, context):
        context.report(loss, step)
        if step == 9 and context.trial % 2:
            raise ValueError("the training went on to its last step")
    return loss

def waits(params, context):
    for step, loss in curve(params, context):
        context.report(loss, step)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            if context.should_prune():
                raise ledger.TrialPruned
            time.sleep(0.005)
    return loss

def asks_slowly(params, context):
    # so long that a worker claims one trial at a time
    time.sleep(0.2)
    return asks(params, context)

def asks_rarely(params, context):
    for step, loss in curve(params, context):
        time.sleep(0.1 if context.trial < 2 else 0.3)
        context.report(loss, step)
        if step % 4 == 0 and context.should_prune():
            raise ledger.TrialPruned
    return loss

def ignores(params, context):
    for step, loss in curve(params, context):
        time.sleep(0.1 if context.trial < 2 else 0.3)
        context.report(loss, step)
        context.should_prune()
    return loss

def prunes_itself(params, context):
    context.report(0.5, 1)
    raise ledger.TrialPruned
"""
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
x = {{ type = "real", low = -1.0, high = 1.0 }}
[optimizer]
base_estimator = "ET"
[stopping]
rule = "halving"
eta = 2
max_resource = 9
audit = 0.0
enforce = {enforce}
{groups}
"""


def search(
    folder, url, function="asks", *, workers=2, mode="batch", enforce="false", objective=None, code=0, groups=""
):
    """Run a study to its end, and return its trials."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(OBJECTIVE)
    (folder / "train.py").write_text(CURVE)
    objective = objective or f'function = "mine:{function}"'
    (folder / "own.toml").write_text(FILE.format(mode=mode, enforce=enforce, objective=objective, groups=groups))
    program = Program(folder, DATABASE_URL=url)
    allowed = ("--allow", "mine", "--allow-command", "python train.py {x}")
    program.run("run", "own.toml", "--workers", str(workers), *allowed, code=code)
    if code == 0:
        assert "18 trials" in program.run("verify", "own")
    return trials_of(url)


def trials_of(url) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select params, state, loss, pruned_step, pruned_loss from ledger.trial order by number"
        ).fetchall()


def verdicts_of(url) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select trial, rung, step, loss, cutoff, compared, stops from ledger.verdict order by 1, 2"
        ).fetchall()


def states(trials) -> list[str]:
    return [state for _, state, *_ in trials]


@pytest.fixture
def one(url, tmp_path):
    """The trials and the verdicts of a study whose objective asks, with one worker."""
    return search(tmp_path / "one", url, workers=1), verdicts_of(url)


def test_any_number_of_workers_stops_the_same_trials_at_the_same_steps(one, server, template, tmp_path):
    trials, verdicts = one
    assert states(trials)[:6] == ["complete"] * 6
    assert states(trials).count("pruned") >= 2
    assert states(trials).count("complete") + states(trials).count("pruned") == 18
    with new_database(server, template) as other:
        assert search(tmp_path / "three", other, workers=3) == trials
        assert verdicts_of(other) == verdicts


def test_a_program_is_ended_at_the_report_that_stops_it(one, server, template, tmp_path):
    with new_database(server, template) as other:
        objective = 'command = ["python", "train.py", "{x}"]'
        found = search(tmp_path / "program", other, objective=objective)
        assert [facts[1:] for facts in found] == [facts[1:] for facts in one[0]]
        assert verdicts_of(other) == one[1]


def test_an_objective_that_never_asks_completes_in_spite_of_the_rule(url, tmp_path):
    trials = search(tmp_path / "own", url, "never_asks")
    assert set(states(trials)) == {"complete", "failed"}
    assert any(stops for *_, stops in verdicts_of(url))


def test_an_enforced_rule_ends_an_objective_that_never_asks(one, server, template, tmp_path):
    with new_database(server, template) as other:
        trials = search(tmp_path / "enforced", other, "never_asks", enforce="true")
        stopped = {trial for trial, *_, stops in verdicts_of(other) if stops}
        assert stopped
        assert {number for number, state in enumerate(states(trials)) if state == "pruned"} == stopped


def test_in_steady_mode_the_answer_of_the_database_stops_a_trial(url, tmp_path):
    trials = search(tmp_path / "own", url, "waits", workers=3, mode="steady")
    assert states(trials).count("pruned") >= 3
    assert states(trials).count("complete") + states(trials).count("pruned") == 18
    with psycopg.connect(url) as connection:
        rows = connection.execute("select count(*), count(distinct (rung, arrival)) from ledger.verdict").fetchone()
    assert rows is not None
    assert rows[0] == rows[1]


def test_in_steady_mode_an_objective_that_asks_once_is_stopped_at_the_rung(url, tmp_path):
    trials = search(tmp_path / "own", url, "asks_slowly", workers=1, mode="steady")
    stopped = {trial: step for trial, _, step, *_, stops in verdicts_of(url) if stops}
    assert len(stopped) >= 3
    assert {number for number, state in enumerate(states(trials)) if state == "pruned"} == set(stopped)
    with psycopg.connect(url) as connection:
        rows = connection.execute("select trial, max(step) from ledger.report group by trial").fetchall()
    assert {trial: last for trial, last in rows if trial in stopped} == stopped


def test_an_objective_that_prunes_itself_without_a_verdict_fails(url, tmp_path):
    trials = search(tmp_path / "own", url, "prunes_itself", code=1)
    assert set(states(trials)) == {"failed"}
    with psycopg.connect(url) as connection:
        errors = connection.execute("select distinct error from ledger.trial").fetchall()
    assert errors == [
        (
            "the objective raised ledger.TrialPruned, but no verdict stops the trial: raise TrialPruned only after"
            " context.should_prune() has returned True",
        )
    ]


GROUPS = "group_size = 2"


@pytest.fixture
def grouped(url, tmp_path):
    """The trials and the verdicts of a study with groups whose objective asks, with one worker."""
    return search(tmp_path / "one", url, workers=1, groups=GROUPS), verdicts_of(url)


def test_groups_stop_trials_of_the_first_iteration(grouped):
    trials, _ = grouped
    assert states(trials)[:2] == ["complete"] * 2
    assert "pruned" in states(trials)[2:6]


@pytest.mark.parametrize("function", ["asks", "asks_slowly"])
def test_groups_stop_the_same_trials_with_any_number_of_workers(grouped, server, template, tmp_path, function):
    with new_database(server, template) as other:
        assert search(tmp_path / "four", other, function, workers=4, groups=GROUPS) == grouped[0]
        assert verdicts_of(other) == grouped[1]


def test_groups_end_the_same_trials_of_an_objective_that_never_asks(url, server, template, tmp_path):
    expected = search(tmp_path / "one", url, "never_asks", workers=1, enforce="true", groups=GROUPS)
    assert "pruned" in states(expected)[2:6]
    with new_database(server, template) as other:
        found = search(tmp_path / "four", other, "never_asks", workers=4, enforce="true", groups=GROUPS)
        assert (found, verdicts_of(other)) == (expected, verdicts_of(url))


def test_groups_end_the_same_programs_with_any_number_of_workers(grouped, server, template, tmp_path):
    with new_database(server, template) as other:
        objective = 'command = ["python", "train.py", "{x}"]'
        found = search(tmp_path / "program", other, objective=objective, workers=4, groups=GROUPS)
        assert [facts[1:] for facts in found] == [facts[1:] for facts in grouped[0]]
        assert verdicts_of(other) == grouped[1]


@pytest.mark.parametrize("function", ["asks_rarely", "ignores"])
def test_no_training_waits_for_ever_after_its_trial_was_stopped(url, tmp_path, function):
    trials = search(tmp_path / "own", url, function, workers=4, groups=GROUPS)
    assert any(stops for *_, stops in verdicts_of(url))
    assert "running" not in states(trials)


def test_short_trials_with_groups_are_not_released(url, tmp_path):
    search(tmp_path / "own", url, "asks", workers=4, groups=GROUPS)
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from ledger.attempt where outcome = 'released'").fetchone() == (0,)
