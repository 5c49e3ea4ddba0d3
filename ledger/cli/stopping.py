"""The command `ledger stopping replay`, which applies another rule of early stopping to recorded learning curves."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby, product
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from ledger.access import connected
from ledger.cli import document, table
from ledger.cli.names import STUDY
from ledger.cli.options import examples, settings_options
from ledger.cli.sections import SectionedGroup
from ledger.database.bounds import LARGEST_BATCH
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError, UsageError, first_fault
from ledger.settings import Settings
from ledger.study.early_stopping import LARGEST_STEP, EarlyStopping
from ledger.study.verdicts import RULES

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ledger.study.replay import Audit, LearningCurves, Replay, ReplayedTrial

_STEP = click.IntRange(1, LARGEST_STEP)


@click.group(
    cls=SectionedGroup,
    epilog=examples("ledger stopping replay svm-42-341b3e --eta 4 --max-resource 81"),
)
def stopping() -> None:
    """Apply a rule of early stopping to recorded learning curves."""


@stopping.command(
    epilog=examples(
        "ledger stopping replay svm-42-341b3e",
        "ledger stopping replay svm-42-341b3e --eta 3 --eta 4 --max-resource 81",
        "ledger stopping replay svm-42-341b3e --rule median --max-resource 81 --json",
    ),
)
@click.argument("name", type=STUDY)
@click.option(
    "--rule",
    "rules",
    type=click.Choice([rule for rule in RULES if rule != "none"]),
    multiple=True,
    help="The rule. To compare several rules, repeat the option. Default: the rule of the study. If the study has no"
    " rule, or if a study in steady mode has the rule promotion, the default is halving.",
)
@click.option(
    "--eta",
    "etas",
    type=click.IntRange(2, 16),
    multiple=True,
    help="Value of the key eta, as in the table [stopping]. To compare several values, repeat the option. Default: the"
    " study's own eta, or 3.",
)
@click.option("--min-resource", type=_STEP, help="The step of the first rung. Default: the study's own value, or 1.")
@click.option(
    "--max-resource",
    type=_STEP,
    help="The number of steps of a whole training. Default: the study's own value.",
)
@click.option(
    "--group-size",
    type=click.IntRange(1, LARGEST_BATCH),
    help="Value of the key group_size of the rule halving in batch mode. Default: the study's own value, or no groups.",
)
@click.option(
    "--brackets",
    type=click.IntRange(1),
    help="Value of the key brackets of the rule promotion. Default: the study's own value, or 1, but at most the number"
    " of rungs.",
)
@document.json_option
@settings_options
def replay(
    name: str,
    rules: Sequence[str],
    etas: Sequence[int],
    min_resource: int | None,
    max_resource: int | None,
    group_size: int | None,
    brackets: int | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """Show the training steps that a rule of early stopping would avoid, and the false stops.

    The command applies the rule to the reports of the ended trials, and changes nothing. In batch mode, a rung compares
    a trial with the trials of earlier iterations. With groups, the rule halving also compares a trial with the earlier
    groups of the same iteration. With the rule promotion, a rung compares the trials of the same
    iteration. If these trials are fewer than the batch size, the rung also compares the latest earlier trials. In
    steady mode, a rung compares a trial with the trials that reached the rung earlier. A stopped trial is a false stop
    if its final value is among the best 10 % of the final values.
    """
    from ledger.database import studies, verdicts
    from ledger.study.replay import audit, replay

    with connected(settings) as connection:
        study = studies.get(connection, name)
        chosen = {"min_resource": min_resource, "max_resource": max_resource, "group_size": group_size}
        asked = list(_rules(study, rules, etas, chosen, brackets))
        trials, values = _trials(connection, study.id)
        curves = _curves(connection, study.id, {rung for rule in asked for rung in rule.rungs}, trials)
        audited, against = verdicts.audited_and_stopped(connection, study.id)
    if not curves.last_steps:
        raise LedgerError(
            f"study {name} has no ended trial with reports: let the objective report values by"
            " context.report(value, step)"
        )
    # The database compares trials by the batch size of the spec, too.
    batch_size = int(study.spec["batch_size"])
    replays = [replay(rule, curves, trials, by_arrival=study.is_steady, batch_size=batch_size) for rule in asked]
    measured = audit(trials, audited, against) if audited else None
    if as_json:
        document.write(_document(study, replays, values, measured))
        return
    for place, found in enumerate(replays):
        if place:
            click.echo()
        _show(found, values)
    if measured is not None:
        click.echo()
        click.echo(_audit(measured))


def _rules(
    study: StudyRow,
    rules: Sequence[str],
    etas: Sequence[int],
    chosen: Mapping[str, int | None],
    brackets: int | None,
) -> Iterator[EarlyStopping]:
    """Yield each combination of the chosen rules and etas once. If the user does not choose a setting, the setting has
    the same value as in the study's own rule.
    """
    own: Mapping[str, Any] = study.spec.get("stopping") or {"rule": "halving"}
    if study.is_steady and chosen["group_size"] is not None:
        raise UsageError(
            f"--group-size: study {study.name} is in steady mode, which has no groups: leave the option out"
        )
    given = {**own, **{name: value for name, value in chosen.items() if value is not None}}
    default = "halving" if study.is_steady and own["rule"] == "promotion" else own["rule"]
    names = dict.fromkeys(rules or [default])
    for option, value, needed in (
        ("--group-size", chosen["group_size"], "halving"),
        ("--brackets", brackets, "promotion"),
    ):
        if value is not None and needed not in names:
            raise UsageError(
                f"{option}: only the rule {needed} has this setting: add --rule {needed}, or leave {option} out"
            )
    for rule, eta in product(names, dict.fromkeys(etas or [own.get("eta", 3)])):
        if rule == "promotion" and study.is_steady:
            raise UsageError(
                f"--rule: the command replays the rule promotion only for batch mode, but study {study.name} is in"
                " steady mode: choose halving or median"
            )
        try:
            # Only the rule "promotion" has brackets, and only the rule "halving" has groups.
            size = given.get("group_size") if rule == "halving" else None
            one = EarlyStopping(**{**given, "rule": rule, "eta": eta, "brackets": 1, "group_size": size})
            if rule == "promotion":
                # Another eta or another first rung can leave fewer rungs than the study's own brackets.
                number = min(given.get("brackets", 1), len(one.rungs)) if brackets is None else brackets
                one = EarlyStopping(**{**one.model_dump(), "brackets": number})
            yield one
        except ValidationError as error:
            raise UsageError(
                first_fault(error, lambda field: f"--{field.replace('_', '-')}" if field else "")
            ) from None


def _trials(connection: "Connection", study_id: int) -> tuple[dict[int, "ReplayedTrial"], dict[int, float]]:
    """Return a dict of the ended trials, and a dict of the values of the complete trials. The keys are the numbers of
    the trials.
    """
    from ledger.database import studies, trials
    from ledger.study.replay import ReplayedTrial

    first_trials = {row.number: row.first_trial for row in studies.iterations(connection, study_id)}
    ended, values = {}, {}
    for number, iteration, source, state, loss, value in chain.from_iterable(trials.ended_pages(connection, study_id)):
        is_pruned = state == "pruned" and source != "imported"
        ended[number] = ReplayedTrial(number, iteration, loss, is_pruned, number - first_trials[iteration])
        if value is not None:
            values[number] = value
    return ended, values


def _curves(
    connection: "Connection", study_id: int, rungs: set[int], trials: Mapping[int, "ReplayedTrial"]
) -> "LearningCurves":
    """Read the learning curves of the given trials. The function reads the points of only one curve at a time."""
    from ledger.database import reports
    from ledger.study.replay import AttemptCurve, LearningCurves

    curves = LearningCurves(rungs)
    points = chain.from_iterable(reports.point_pages(connection, study_id))
    for trial, of_trial in groupby(points, key=itemgetter(0)):
        # The replay leaves out each trial that has not ended, because the trial can report further values.
        if trial in trials:
            attempts = groupby(of_trial, key=itemgetter(1))
            curves.add(trial, [AttemptCurve(*list(zip(*rows, strict=True))[2:]) for _, rows in attempts])
    return curves


def _document(
    study: StudyRow, replays: Sequence["Replay"], values: Mapping[int, float], measured: "Audit | None"
) -> dict[str, Any]:
    first = replays[0]
    return {
        "study": study.name,
        "mode": study.spec.get("mode", "batch"),
        "trials": first.trials,
        "steps": first.steps,
        "best": _best(first.best, values),
        "replays": [
            {
                **document.pick(found.rule, "rule", "eta", "min_resource", "max_resource", "brackets", "group_size"),
                "rungs": found.rungs,
                "steps_saved": found.saved,
                "share_saved": _share(found),
                **document.pick(found, "stopped", "false_stops", "unknown", "unjudged"),
                "best_survivor": _best(found.best_survivor, values),
            }
            for found in replays
        ],
        "audit": measured,
    }


def _best(number: int | None, values: Mapping[int, float]) -> dict[str, Any] | None:
    return None if number is None else {"trial": number, "value": values[number]}


def _share(found: "Replay") -> float:
    return found.saved / found.steps if found.steps else 0.0


def _show(found: "Replay", values: Mapping[int, float]) -> None:
    rule = found.rule
    compared = f", brackets {rule.brackets}" if rule.brackets > 1 else ""
    compared += f", group_size {rule.group_size}" if rule.group_size is not None else ""
    click.echo(
        f"rule {rule.rule}, eta {rule.eta}, min_resource {rule.min_resource}, max_resource {rule.max_resource}"
        f"{compared}: {found.trials} trials with reports"
    )
    table.show(("RUNG", "TRIALS", "STOPPED"), [(rung.rung, rung.trials, rung.stopped) for rung in found.rungs])
    click.echo(f"steps: {found.steps} trained, of which the rule avoids {found.saved} ({_share(found):.1%})")
    numbers = ", ".join(map(str, found.false_stops[:10])) + (", ..." if len(found.false_stops) > 10 else "")
    click.echo(
        f"stopped: {found.stopped} trials, of which {len(found.false_stops)} ended among the best 10%"
        + (f" (false stops: {numbers})" if found.false_stops else "")
    )
    if found.unknown:
        click.echo(f"not known: {found.unknown} of the stopped trials ended without a final value")
    if found.unjudged:
        others = "1 other trial" if found.unjudged == 1 else f"{found.unjudged} other trials"
        click.echo(f"not judged: the study's own rule has pruned {others}, so their later values are unknown")
    best, survivor = _value(found.best, values), _value(found.best_survivor, values)
    click.echo(f"best value: {best} without the rule, {survivor} with the rule")


def _value(number: int | None, values: Mapping[int, float]) -> str:
    return "none" if number is None else f"{values[number]:.6g} (trial {number})"


def _audit(measured: "Audit") -> str:
    said = f"audit of the study's own rule: the rule would have stopped {measured.stopped} of {measured.trials} audited"
    if not measured.stopped:
        return f"{said} trials"
    return (
        f"{said} trials; of these {measured.stopped} trials, {measured.better_than_median} ended better than the"
        f" median survivor, and {measured.better_than_best} ended better than the best survivor"
    )
