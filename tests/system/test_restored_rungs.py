"""Trials that reach a rung with their last report, and are interrupted before the verdict ends the training."""

from typing import Any

import psycopg
import pytest

from tests.system.programs import Program

# The training ends at the step 3, which is a rung. In the study `crashed`, each trial ends its process once after the
# checkpoint of this step, so that the next attempt has no step left.
OBJECTIVE = """
import os, pathlib

import ledger

def short(params, context):
    loss, first = 1.0, 1
    if (last := context.restore()) is not None:
        loss, first = float((last.folder / "loss").read_text()), last.step + 1
    for step in range(first, 4):
        loss = loss / 2 + (params["x"] - 0.3) ** 2
        context.report(loss, step)
        with context.checkpoint(step) as folder:
            (folder / "loss").write_text(repr(loss))
        if step == 3 and context.study == "crashed":
            crash(context.trial)
        if context.should_prune():
            raise ledger.TrialPruned
    return loss

def crash(trial):
    try:
        pathlib.Path(f"crashed{trial}").touch(exist_ok=False)
    except FileExistsError:
        return
    os._exit(1)
"""
FILE = """
[study]
name = "{name}"
trials = 12
batch_size = 6
seed = 3
[objective]
function = "mine:short"
[space]
x = {{ type = "real", low = -1.0, high = 1.0 }}
[optimizer]
base_estimator = "ET"
[stopping]
eta = 3
max_resource = 9
audit = 0.1
{rule}
[limits]
max_crashes = 5
"""


def facts(url: str, study: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the trials and the verdicts of a study."""
    with psycopg.connect(url) as connection:
        return (
            connection.execute(
                "select params, state, loss, pruned_step, pruned_loss from ledger.trials where study = %s"
                " order by trial",
                (study,),
            ).fetchall(),
            connection.execute(
                "select trial, rung, step, loss, cutoff, compared, stops, audited from ledger.verdicts"
                " where study = %s order by 1, 2",
                (study,),
            ).fetchall(),
        )


@pytest.mark.parametrize("rule", ["halving", "groups", "promotion"])
def test_a_crash_after_the_last_checkpoint_changes_no_trial_and_no_verdict(url, tmp_path, rule):
    (tmp_path / "mine.py").write_text(OBJECTIVE)
    program = Program(tmp_path, DATABASE_URL=url, LEDGER_STORE=str(tmp_path / "store"))
    keys = 'rule = "halving"\ngroup_size = 2' if rule == "groups" else f'rule = "{rule}"'
    for name, workers in (("calm", "1"), ("crashed", "2")):
        (tmp_path / f"{name}.toml").write_text(FILE.format(name=name, rule=keys))
        program.run("run", f"{name}.toml", "--allow", "mine", "--workers", workers)
        program.run("verify", name)
    trials, verdicts = facts(url, "crashed")
    assert (trials, verdicts) == facts(url, "calm")
    assert "pruned" in {state for _, state, *_ in trials}
    assert len([*tmp_path.glob("crashed[0-9]*")]) >= 4
