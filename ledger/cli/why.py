"""The command `ledger why`, which says how the point of a trial was chosen, and why a rule stopped the trial."""

from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING, Any

import click

from ledger.access import connected
from ledger.cli import document
from ledger.cli.names import STUDY
from ledger.cli.options import LARGEST_INTEGER, examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.database.rows import StudyRow, TrialRow, VerdictRow, columns
from ledger.objectives import ValueScale, value_scale
from ledger.settings import Settings
from ledger.text import one_line

if TYPE_CHECKING:
    from ledger.verification.origins import PointOrigin

# Maximum number of characters in the text that names the differences between two environments.
_LONGEST = 1_000
# Meaning of the value of each acquisition function.
_ACQUISITIONS = {
    "EI": "expected improvement",
    "PI": "probability of an improvement",
    "LCB": "confidence bound",
}
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
    """Say how the point of a trial was chosen, and why a rule stopped the trial or did not stop the trial.

    For a study with a rule of early stopping, the command prints a sentence for each rung that the trial has reached.
    At a rung, the rule compares the trial with other trials. If the surrogate has proposed the trial, the command fits
    the surrogate again to the trials that were known at the time of the proposal. The command then prints the value
    that the surrogate expected.
    """
    from ledger.database import studies, trials, verdicts
    from ledger.verification.origins import origin

    with connected(settings) as connection:
        study = studies.get(connection, name)
        row = trials.get(connection, study, number)
        decided = verdicts.of_trial(connection, study.id, number)
        found = origin(connection, study, row)
    if as_json:
        facts = {"study": name, **document.pick(row, "number", "state", "pruned_step", "pruned_loss")}
        facts["verdicts"] = [document.pick(verdict, *_VERDICT) for verdict in decided]
        document.write({**facts, "point": _point(row, found)})
        return
    click.echo(f"trial {number} of study {name} is {row.state}{_end(study, row, decided)}")
    for line in (*_lines(study, row, decided), *_point_lines(row, found)):
        click.echo(line)


def _point(row: TrialRow, found: "PointOrigin | None") -> dict[str, Any]:
    facts: dict[str, Any] = document.pick(row, "source", "retry_of")
    facts |= dict.fromkeys(("known_trials", "defaults", "expected", "nearest", "environment_difference"))
    if found is None:
        return facts
    facts["known_trials"] = found.known
    facts["defaults"] = found.defaults
    if found.expected is not None and found.nearest is not None:
        facts["expected"] = {
            **document.pick(found.expected, "value", "deviation", "exponent", "gain"),
            "acquisition_function": found.acq_func,
            "acquisition": found.expected.acquisition,
        }
        facts["nearest"] = {
            "trial": found.nearest.number,
            "distance": found.expected.distance,
            "value": found.nearest.value if found.nearest_rung is None else None,
        }
        facts["environment_difference"] = found.elsewhere
    return facts


def _point_lines(row: TrialRow, found: "PointOrigin | None") -> Iterator[str]:
    """Return how the point of the trial was chosen, in words."""
    if found is None:
        yield {
            "enqueued": "point: a user enqueued the point",
            "imported": "point: a user imported the point together with its result",
            "retried": f"point: a user retried trial {row.retry_of}, so this trial has the same point",
        }[row.source]
        return
    if found.defaults:
        names = one_line(", ".join(found.defaults), _LONGEST)
        yield f"point: the defaults of the parameters {names}, because no earlier trial had these values"
    if found.expected is None or found.nearest is None:
        reason = "no trial had a value"
        if found.known < found.needed:
            reason = f"{found.known} trials had ended, and the surrogate needs {found.needed}"
        if len(found.defaults) < len(row.params):
            yield f"{'other parameters' if found.defaults else 'point'}: random, because {reason}"
        return
    expected, nearest = found.expected, found.nearest
    gain = ""
    prefix = "" if found.defaults else "point: "
    if expected.acquisition is not None:
        gain = f"; {_ACQUISITIONS[found.acq_func]} {expected.acquisition:.6g}"
    yield (
        f"{prefix}the surrogate ({found.estimator}, {found.acq_func}) knew {found.known} trials, and expected the value"
        f" {expected.value:.6g} with the standard deviation {expected.deviation:.6g}{gain}"
    )
    if expected.exponent is not None:
        yield (
            f"transform: Yeo-Johnson with the exponent {expected.exponent:.3g}, which increases the log-likelihood of"
            f" the losses by {expected.gain:.3g}"
        )
    value = f"with the value {nearest.value:.6g}" if nearest.value is not None else f"which is {nearest.state}"
    if found.nearest_rung is not None:
        value = f"which waited at rung {found.nearest_rung}"
    yield f"nearest known trial: trial {nearest.number}, {value}, at the distance {expected.distance:.6g}"
    if found.elsewhere is not None:
        yield (
            "the surrogate's numbers can differ from the numbers of the proposal, because the environments differ:"
            f" {one_line(found.elsewhere, _LONGEST)}"
        )


def _end(study: StudyRow, row: TrialRow, decided: list[VerdictRow]) -> str:
    if row.state == "pruned" and row.source == "imported":
        return f": the training ended early at step {row.pruned_step}, outside this ledger"
    if row.state == "pruned":
        return f": the training ended early, after the verdict on step {row.pruned_step}"
    if row.state == "paused" and study.is_steady:
        return ": the trial waits at a rung until it is among the best trials that have reached this rung"
    if row.state == "paused":
        return ": the trial waits at a rung until all other trials in the comparison have paused or ended"
    if row.state == "complete" and any(verdict.ends for verdict in decided):
        return ": the objective returned a value in spite of the verdict"
    return ""


def _lines(study: StudyRow, row: TrialRow, decided: list[VerdictRow]) -> Iterator[str]:
    rule = study.spec.get("stopping")
    if rule is None:
        yield "the study has no rule of early stopping: set the key rule in the table [stopping] of a new study"
        return
    if rule["rule"] == "promotion" and not decided and row.is_open and not study.is_steady:
        yield "the rule promotion has not compared the trial yet"
    elif "group_size" in rule and not decided and row.is_open:
        yield "the rule halving has no verdict on the trial yet: at a rung, the trial waits for the earlier groups"
    elif not decided:
        yield f"the trial has reached no rung of the rule {rule['rule']}: its reports end below the first rung"
    scale = value_scale(study.spec["objective"])
    for verdict in decided:
        yield f"rung {verdict.rung}: {_sentence(verdict, rule, scale)}"
        if verdict.promoted_at is not None:
            at = verdict.promoted_at.astimezone(UTC)
            yield f"rung {verdict.rung}: the trial was promoted later, at {at:%Y-%m-%d %H:%M:%S} UTC"
    if any(verdict.audited and verdict.stops for verdict in decided):
        share = f"{rule['audit']:.0%}"
        yield f"the rule never stops {share} of the trials (audit), and this trial is one of them, so the trial went on"


def _sentence(verdict: VerdictRow, rule: dict[str, Any], scale: ValueScale) -> str:
    """Return the reason for a verdict in words. A value is better if its loss is lower."""
    value = "no finite value" if verdict.loss is None else f"the value {scale.value(verdict.loss):.6g}"
    trial = f"at step {verdict.step}, the trial had {value}"
    decision = "the rule stops the trial" if verdict.stops else "the trial goes on"
    if rule["rule"] == "promotion":
        limit = "each trial with a finite value goes on"
        if verdict.cutoff is not None:
            cutoff = scale.value(verdict.cutoff)
            limit = (
                f"a trial goes on if its value is better than {cutoff:.6g}, or if its value is equal and its number is"
                " lower"
            )
        if verdict.arrival is not None:
            return (
                f"{trial}; the best 1/{rule['eta']} of the trials go on; the trial's place in the order of"
                f" arrival at the rung is {verdict.arrival}, and {limit}; {decision}"
            )
        return (
            f"{trial}; a trial goes on if it is among the best 1/{rule['eta']} of the compared trials; the rule"
            f" compared {verdict.compared} trials of this iteration and of earlier iterations, and {limit}; {decision}"
        )
    others = "trials that reached the rung earlier"
    if verdict.arrival is None:
        others = f"trials of earlier {'iterations and groups' if 'group_size' in rule else 'iterations'}"
    if verdict.compared < rule["eta"]:
        return (
            f"{trial}, and goes on, because the rule compared the trial with only {verdict.compared} {others}"
            f" (eta is {rule['eta']})"
        )
    best = f"the best 1/{rule['eta']}" if rule["rule"] == "halving" else "the better half"
    if verdict.cutoff is None:
        limit = "each trial with a finite value goes on"
    else:
        limit = f"a trial with a better value than {scale.value(verdict.cutoff):.6g} goes on"
    return (
        f"{trial}; {best} of the trials go on; the rule compared the trial with {verdict.compared} {others}, and"
        f" {limit}; {decision}"
    )
