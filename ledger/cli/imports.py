"""The command `import`, which imports a whole study from another ledger, or imports finished trials into a study."""

from typing import Any

import click

from ledger.access import connected, database
from ledger.cli.file_content import FileContentType
from ledger.cli.names import STUDY
from ledger.cli.options import TEXT, examples, settings_options
from ledger.cli.sections import SectionedGroup
from ledger.errors import UsageError
from ledger.settings import Settings

# Maximum number of rejected rows for which the command prints the reason of the rejection.
SHOWN = 5


class _ImportGroup(SectionedGroup):
    """The command group `ledger import`, whose first argument is the name of a subcommand or the name of a file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["file", *args]
        return super().parse_args(ctx, args)


@click.group(
    name="import",
    cls=_ImportGroup,
    options_metavar="",
    subcommand_metavar="(FILE [--name NEW] | csv | optuna) ...",
    epilog=examples("ledger import study.json", "ledger import study.json --name moved"),
)
def import_() -> None:
    """Import a study from another ledger, or import finished trials.

    `ledger import FILE` reads a file that `ledger export NAME --output FILE` has written. The command creates the same
    study in this ledger, with all trials, attempts, iterations and recorded times. If this ledger already has a study
    with the same name, use --name to give the imported study a new name.
    """


@import_.command(hidden=True)
@click.argument("file", type=FileContentType())
@click.option("--name", type=TEXT, metavar="NEW", help="New name of the study. Default: the name in the file.")
@settings_options
def file(file: tuple[str, bytes], name: str | None, settings: Settings) -> None:
    """Import a whole study from a file that `ledger export NAME --output FILE` has written.

    If a trial was running during the export, the command imports the trial as pending. The command imports the trial's
    running attempt as released. A released attempt is neither a failed attempt nor a lost attempt. A paused trial stays
    paused. The command imports the whole study or nothing.
    """

    from ledger.database import migration
    from ledger.database.connection import engine
    from ledger.imports.document import import_study, read

    document = read(*file)
    with (
        database(settings, create=True) as url,
        engine(url, "ledger command", statement_seconds=settings.statement_timeout).connect() as connection,
    ):
        migration.check(connection)
        row = import_study(connection, document, name)
    counts = ", ".join(f"{len(getattr(document, kind))} {kind}" for kind in ("iterations", "trials", "attempts"))
    click.echo(f"study {row.name} is imported, {row.state}: {counts}; `ledger verify {row.name}` checks the study")
    if not row.has_ended:
        click.echo(
            f"stop the study in its old ledger; `ledger resume {row.name}` then continues the study in this ledger"
        )


_into = click.option("--into", required=True, type=STUDY, metavar="NAME", help="Study that gets the imported trials.")
_skip = click.option(
    "--skip-unusable",
    is_flag=True,
    help="Skip unusable trials, such as a trial with a point outside the space, and print the number of skipped trials."
    " Without this option, one unusable trial makes the import fail.",
)


@import_.command(epilog=examples("ledger import csv known.csv --into svm-42-341b3e --loss error"))
@click.argument("file", type=FileContentType())
@_into
@click.option(
    "--loss",
    type=TEXT,
    metavar="COLUMN",
    help="Column with the losses. A lower loss is better. If neither --loss nor --value is given, the column with the"
    ' name "loss" contains the losses.',
)
@click.option(
    "--value",
    type=TEXT,
    metavar="COLUMN",
    help="Column with the values that the study minimises or maximises. Use either --loss or --value.",
)
@click.option(
    "--ignore-extra", is_flag=True, help="Ignore each column that contains neither a parameter nor the result."
)
@_skip
@settings_options
def csv(
    file: tuple[str, bytes],
    into: str,
    loss: str | None,
    value: str | None,
    ignore_extra: bool,
    skip_unusable: bool,
    settings: Settings,
) -> None:
    """Import finished trials from a CSV file with one trial per line.

    The header must name a column for each parameter of the study, and a column for the losses or for the values. A
    parameter's column has the parameter's name, or the name params_NAME as in `ledger export --format csv`. The
    optimizer learns from the imported trials. The imported trials use no budget, and no worker trains these trials. The
    command imports all trials or none. With the file name -, the command reads standard input.
    """
    from ledger.database import studies
    from ledger.imports.history import import_history
    from ledger.imports.table import read_rows
    from ledger.objectives import value_scale

    if loss is not None and value is not None:
        raise UsageError("--loss and --value exclude each other; remove one of them")
    with connected(settings) as connection:
        study = studies.get(connection, into)
        scale = None if value is None else value_scale(study.spec["objective"])
        first, history = import_history(
            connection,
            study,
            file[0],
            lambda space: read_rows(*file, value or loss or "loss", space, ignore_extra=ignore_extra, scale=scale),
            skip_unusable=skip_unusable,
        )
    _say(into, first, history)


@import_.command(epilog=examples("ledger import optuna sqlite:///optuna.db old --into svm-42-341b3e"))
@click.argument("url", type=TEXT)
@click.argument("study", type=TEXT)
@_into
@_skip
@settings_options
def optuna(url: str, study: str, into: str, skip_unusable: bool, settings: Settings) -> None:
    """Import the finished trials of an Optuna study.

    The argument URL names Optuna's storage, such as sqlite:///optuna.db. The command writes nothing to Optuna's
    storage. If both studies minimise, or both studies maximise, each imported trial keeps its value from Optuna.
    Otherwise, a trial with a better value in Optuna has a lower loss in the ledger. A pruned trial is pruned in the
    ledger too, with its last intermediate value. The command skips trials that are neither complete nor pruned.
    """
    from ledger.database import studies
    from ledger.imports.history import import_history
    from ledger.objectives import value_scale
    from ledger.optuna.imports import load

    source = load(url, study)
    with connected(settings) as connection:
        row = studies.get(connection, into)
        scale = value_scale(row.spec["objective"])
        first, history = import_history(
            connection,
            row,
            f"Optuna's study {study}",
            lambda _space: source.rows(scale),
            skip_unusable=skip_unusable,
        )
    _say(into, first, history)
    pruned = sum(trial.pruned_step is not None for trial in history.finished)
    if pruned:
        click.echo(
            f"{pruned} of the imported trials are pruned; the loss of a pruned trial comes from its last intermediate"
            " value"
        )
    if source.maximises and not scale.is_maximised:
        click.echo(
            f"Optuna's study {study} maximises, but study {into} minimises, so each imported value is the negative of"
            " Optuna's value"
        )
    if source.others:
        click.echo(f"{source.others} trials are skipped, because they are neither complete nor pruned")


def _say(study: str, first: int | None, history: Any) -> None:
    number = len(history.finished)
    if first is None:
        click.echo(f"no trial is imported, because study {study} already has {history.repeated} of the finished trials")
    else:
        last = "" if number == 1 else f" to {first + number - 1}"
        click.echo(f"{number} finished trials are imported into study {study} as trial {first}{last}")
    for reason in history.left_out[:SHOWN]:
        click.echo(f"left out: {reason}", err=True)
    if len(history.left_out) > SHOWN:
        click.echo(f"left out: {len(history.left_out)} in all", err=True)
