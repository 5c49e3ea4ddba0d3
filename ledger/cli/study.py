"""The commands create, list, show, view, pause, cancel and delete of the group `ledger study`."""

from typing import Any

import click

from ledger.access import connected
from ledger.cli import document, outcome, table
from ledger.cli.names import STUDY
from ledger.cli.options import examples, settings_options
from ledger.database.rows import IterationRow, ProgressRow, columns
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings
from ledger.text import one_line

# Columns that the option --json prints for the best trial and for an iteration.
_BEST = ("number", "iteration", "source", "params", "value", "loss", "metrics")
_ITERATION = tuple(name for name in columns(IterationRow) if name not in ("surrogate", "environment", "seen"))


class _StudyGroup(click.Group):
    """The command group `ledger study`, which imports the module of `create` only when the user calls `create`.

    The module of `create` imports pydantic, and this import takes 0.1 s.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["create", *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "create":
            from ledger.cli.create import create

            return create
        return super().get_command(ctx, cmd_name)


@click.group(cls=_StudyGroup, epilog=examples("ledger study list", "ledger study show svm-42-341b3e"))
def study() -> None:
    """Show and control studies."""


@study.command(name="list", epilog=examples("ledger study list", "ledger study list --json | jq '.[].study'"))
@document.json_option
@settings_options
def list_(as_json: bool, settings: Settings) -> None:
    """List the studies. The oldest study comes first."""
    from ledger.database import reads

    with connected(settings) as connection:
        rows = reads.progress(connection)
    if as_json:
        document.write([_progress(row) for row in rows])
        return
    if not rows:
        click.echo("no studies yet: `ledger run` makes one")
        return
    table.show(
        ["STUDY", "STATE", "BUDGET", "COMPLETE", "RUNNING", "FAILED", "BEST VALUE", "DIRECTION", "CREATED (UTC)"],
        [
            (
                *(row.study, row.state, f"{row.ended}/{row.budget}", row.complete, row.running),
                *(row.failed, row.best_value, row.direction, f"{row.created_at:%Y-%m-%d %H:%M}"),
            )
            for row in rows
        ],
    )


@study.command(
    epilog=examples(
        "ledger study show svm-42-341b3e",
        "ledger study show svm-42-341b3e --json | jq .best.params",
    )
)
@click.argument("name", type=STUDY)
@document.json_option
@settings_options
def show(name: str, as_json: bool, settings: Settings) -> None:
    """Show the progress, the iterations and the best trial of one study.

    The command also shows each live worker that refuses the study because the worker cannot load the study's objective.

    The last lines show the best parameters as a Python dict and as TOML, which the user can copy.
    """
    from ledger.database import reads, studies, trials
    from ledger.study.python_values import python_params
    from ledger.terminal.paste import as_python, as_toml

    with connected(settings) as connection:
        row = studies.get(connection, name)
        best = trials.best(connection, row.id)
        iterations = studies.iterations(connection, row.id)
        refusals = reads.refusals(connection, name)
        if as_json:
            document.write(
                {
                    **_progress(reads.progress(connection, name)[0]),
                    "finished_at": row.finished_at,
                    "best": None if best is None else document.pick(best, *_BEST),
                    "iteration_list": [document.pick(iteration, *_ITERATION) for iteration in iterations],
                    "refusals": [document.pick(each, "worker", "reason", "refused_at") for each in refusals],
                    "spec": row.spec,
                    "versions": row.versions,
                }
            )
            return
        outcome.show(connection, row)
        # In steady mode, `ledger study show` does not list the iterations, because most iterations contain only one
        # trial or a few trials.
        for iteration in iterations if row.spec.get("mode") != "steady" else ():
            if iteration.told_at is None:
                told = "waiting for its trials"
            elif iteration.mean_value is None:
                told = "none completed"
            else:
                told = f"mean value {iteration.mean_value:.6f}, best {iteration.best_value:.6f}"
            click.echo(f"iteration {iteration.number}: {iteration.size} trials, {told}")
    for each in refusals:
        click.echo(f"worker {one_line(each.worker)} refuses the study: {one_line(each.reason, 1_000)}")
    if best is not None:
        params = python_params(best.params, row.spec["space"])
        click.echo(f"\nbest parameters as a Python dict:\n{as_python(params)}")
        click.echo(f"\nbest parameters as TOML:\n{as_toml(best.params)}")


@study.command(epilog=examples("ledger study view svm-42-341b3e"))
@click.argument("name", type=STUDY)
@settings_options
def view(name: str, settings: Settings) -> None:
    """Create a database view of one study's trials, with a column for each parameter and each metric.

    If trials report new metrics, run the command again to add columns for these metrics. `ledger db upgrade` keeps the
    view, and `ledger study delete` drops the view of the deleted study.
    """
    from ledger.database import studies

    with connected(settings) as connection:
        made = studies.flatten(connection, studies.get(connection, name))
    metrics = [column for column in made.columns if column.source == "metrics"]
    click.echo(
        f'view ledger."{made.name}" has columns for {len(made.columns) - len(metrics)} parameters and {len(metrics)}'
        f" metrics: `ledger db psql -c 'table ledger.\"{made.name}\"'`"
    )
    if made.omitted:
        omitted = len(made.omitted)
        click.echo(
            f"ledger: {omitted} metrics have no column, because the view has the maximum number of columns: read the"
            " view ledger.trials",
            err=True,
        )


@study.command(epilog=examples("ledger study pause svm-42-341b3e"))
@click.argument("name", type=STUDY)
@settings_options
def pause(name: str, settings: Settings) -> None:
    """Pause a study. Workers claim no more trials of the study, and running trials continue to their end."""
    from ledger.database import studies

    with connected(settings) as connection:
        row = studies.get(connection, name)
        state = studies.pause(connection, row.id)
        if state != "paused":
            raise LedgerError(f"study {name} is {state}, so it cannot be paused")
    click.echo(f"study {name} is paused: `ledger resume {name}` continues the study")


@study.command(epilog=examples("ledger study cancel svm-42-341b3e"))
@click.argument("name", type=STUDY)
@settings_options
def cancel(name: str, settings: Settings) -> None:
    """Cancel a study, and keep its results. A cancelled study cannot continue."""
    from ledger.database import studies

    with connected(settings) as connection:
        row = studies.get(connection, name)
        if row.has_ended:
            raise LedgerError(f"study {name} is {row.state} already, so it cannot be cancelled")
        later = studies.cancel(connection, row.id, "cancelled by `ledger study cancel`")
    click.echo(f"study {name} is cancelled")
    outcome.warn_of_locked(name, later)


@study.command(epilog=examples("ledger study delete svm-42-341b3e --yes"))
@click.argument("name", type=STUDY)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@settings_options
def delete(name: str, yes: bool, settings: Settings) -> None:
    """Delete a study with its trials, attempts and losses."""
    from ledger.database import studies

    with connected(settings) as connection:
        row = studies.get(connection, name)
        if not yes:
            raise UsageError(
                f"the command would delete study {name} with all its trials: add --yes, or export the study first"
            )
        if studies.delete(connection, row) == "managed":
            raise LedgerError(
                f"study {name} has a running manager: stop the manager or run `ledger study cancel {name}`, then delete"
                " the study"
            )
    click.echo(f"study {name} is deleted")


def _progress(row: ProgressRow) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in columns(ProgressRow)}
    elapsed = facts.pop("elapsed")
    return {**facts, "elapsed_seconds": elapsed.total_seconds()}
