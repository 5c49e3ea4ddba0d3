"""The command `ledger why`, which says why the rule of early stopping stopped a trial, or let it go on."""

from collections.abc import Iterator
from typing import Any

import click

from ledger.access import connected
from ledger.cli import document
from ledger.cli.names import STUDY
from ledger.cli.options import LARGEST_INTEGER, examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.database.rows import StudyRow, TrialRow, VerdictRow, columns
from ledger.objectives import ValueScale, value_scale
from ledger.settings import Settings

_VERDICT = tuple(name for name in columns(VerdictRow) if name != "trial")


@click.command(
    cls=SectionedCommand,
    epilog=examples("ledger why svm-42-341b3e 3", "ledger why svm-42-341b3e 3 --json | jq '.verdicts[].stops'"),
)
@click.argument("name", type=STUDY)
@click.argument("number", type=click.IntRange(0, LARGEST_INTEGER))
@document.json_option
@settings_options
def why(name: str, number: int, as_json: bool, settings: Settings) -> None:
    """Say why the rule of early stopping stopped a trial, or let the trial go on.

    The command prints a sentence for each rung that the trial has reached. At a rung, the rule compares the trial with
    other trials.
    """
    from ledger.database import studies, trials, verdicts

    with connected(settings) as connection:
        study = studies.get(connection, name)
        row = trials.get(connection, study, number)
        decided = verdicts.of_trial(connection, study.id, number)
    if as_json:
        facts = {"study": name, **document.pick(row, "number", "state", "pruned_step", "pruned_loss")}
        document.write({**facts, "verdicts": [document.pick(verdict, *_VERDICT) for verdict in decided]})
        return
    click.echo(f"trial {number} of study {name} is {row.state}{_end(row, decided)}")
    for line in _lines(study, decided):
        click.echo(line)


def _end(row: TrialRow, decided: list[VerdictRow]) -> str:
    if row.state == "pruned":
        return f": the training ended early, after the verdict on step {row.pruned_step}"
    if row.state == "complete" and any(verdict.stops and not verdict.audited for verdict in decided):
        return ": the objective returned a value in spite of the verdict"
    return ""


def _lines(study: StudyRow, decided: list[VerdictRow]) -> Iterator[str]:
    rule = study.spec.get("stopping")
    if rule is None:
        yield "the study has no rule of early stopping: set rule in the table [stopping] of a new study"
        return
    if not decided:
        yield f"the trial has reached no rung of the rule {rule['rule']}: its reports end below the first rung"
    scale = value_scale(study.spec["objective"])
    for verdict in decided:
        yield f"rung {verdict.rung}: {_sentence(verdict, rule, scale)}"
    if any(verdict.audited and verdict.stops for verdict in decided):
        share = f"{rule['audit']:.0%}"
        yield f"the trial belongs to the {share} of the trials that are never stopped (audit), so the trial went on"


def _sentence(verdict: VerdictRow, rule: dict[str, Any], scale: ValueScale) -> str:
    """Return the reason for a verdict in words. A value is better if its loss is lower."""
    value = "no finite value" if verdict.loss is None else f"the value {scale.value(verdict.loss):.6g}"
    trial = f"at step {verdict.step}, the trial had {value}"
    others = "trials of earlier iterations" if verdict.arrival is None else "trials that arrived at the rung before"
    if verdict.compared < rule["eta"]:
        return f"{trial}, and goes on, because the rung knows only {verdict.compared} {others} (eta is {rule['eta']})"
    best = f"the best 1/{rule['eta']}" if rule["rule"] == "halving" else "the better half"
    decision = "the rule stops the trial" if verdict.stops else "the trial goes on"
    if verdict.cutoff is None:
        limit = "each trial with a finite value goes on"
    else:
        limit = f"a trial goes on with a better value than {scale.value(verdict.cutoff):.6g}"
    return f"{trial}; {best} of the trials go on; compared with {verdict.compared} {others}, {limit}; {decision}"
