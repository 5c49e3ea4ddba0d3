"""import: a whole study from another ledger, or finished trials as a study's history."""

from typing import Any

import click

from ledger.access import connected, database
from ledger.cli.contents import Contents
from ledger.cli.names import STUDY
from ledger.cli.options import TEXT, examples, settings_options
from ledger.settings import Settings

# Reasons that are shown for rows that were left out.
SHOWN = 5


class _Import(click.Group):
    """A group in which a first word that is no command is a file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["file", *args]
        return super().parse_args(ctx, args)


@click.group(
    name="import",
    cls=_Import,
    options_metavar="",
    subcommand_metavar="(FILE [--name NEW] | csv | optuna) ...",
    epilog=examples("ledger import study.json", "ledger import study.json --name moved"),
)
def import_() -> None:
    """Bring in a study from another ledger, or finished trials.

    `ledger import FILE` reads what `ledger export NAME --output FILE` wrote, and makes the same study in this ledger:
    every trial, attempt and iteration, with their times. Where its name is taken, --name gives it another.
    """


@import_.command(hidden=True)
@click.argument("file", type=Contents())
@click.option("--name", type=TEXT, metavar="NEW", help="The study's name here. Default: as in the file.")
@settings_options
def file(file: tuple[str, bytes], name: str | None, settings: Settings) -> None:
    """Bring in a whole study, as `ledger export NAME --output FILE` wrote it.

    What ran there is pending here, and its attempts are released: they count against nothing. All of it is imported, or
    nothing.
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
    click.echo(f"study {row.name} is imported, {row.state}: {counts}; `ledger verify {row.name}` recomputes it")
    if not row.has_ended:
        click.echo(f"`ledger resume {row.name}` goes on with it; stop it where it came from")


_into = click.option("--into", required=True, type=STUDY, metavar="NAME", help="The study whose history they become.")
_skip = click.option(
    "--skip-unusable",
    is_flag=True,
    help="Leave out, and count, what cannot be used, such as a point outside the space; else all is refused.",
)


@import_.command(epilog=examples("ledger import csv known.csv --into svm-42-5a83e9 --loss error"))
@click.argument("file", type=Contents())
@_into
@click.option("--loss", type=TEXT, default="loss", show_default=True, metavar="COLUMN", help="The losses' column.")
@click.option("--ignore-extra", is_flag=True, help="Pass by columns that are neither a parameter nor the loss.")
@_skip
@settings_options
def csv(
    file: tuple[str, bytes], into: str, loss: str, ignore_extra: bool, skip_unusable: bool, settings: Settings
) -> None:
    """Bring in finished trials from a csv file, a trial a line.

    Its header names a column for each parameter of the study (or params_NAME, as in `ledger export --format csv`) and
    one for the loss, which is minimised. They are evidence for what is proposed, cost nothing of the budget, and are
    never trained. All of them are imported, or none; - reads standard input.
    """
    from ledger.database import studies
    from ledger.imports.history import import_history
    from ledger.imports.table import read_rows

    with connected(settings) as connection:
        first, history = import_history(
            connection,
            studies.get(connection, into),
            file[0],
            lambda space: read_rows(*file, loss, space, ignore_extra=ignore_extra),
            skip_unusable=skip_unusable,
        )
    _say(into, first, history)


@import_.command(epilog=examples("ledger import optuna sqlite:///optuna.db old --into svm-42-5a83e9"))
@click.argument("url", type=TEXT)
@click.argument("study", type=TEXT)
@_into
@_skip
@settings_options
def optuna(url: str, study: str, into: str, skip_unusable: bool, settings: Settings) -> None:
    """Bring in the finished trials of an Optuna study.

    URL is its storage, as in sqlite:///optuna.db; nothing is written there. Where the study maximises, a loss is the
    negative of a value. Trials that are not complete are passed by.
    """
    from ledger.database import studies
    from ledger.imports.history import import_history
    from ledger.optuna.imports import load

    source = load(url, study)
    with connected(settings) as connection:
        first, history = import_history(
            connection,
            studies.get(connection, into),
            f"Optuna's study {study}",
            lambda _space: source.rows(),
            skip_unusable=skip_unusable,
        )
    _say(into, first, history)
    if source.maximises:
        click.echo(f"Optuna's study {study} maximises, so each loss is the negative of its value")
    if source.others:
        click.echo(f"{source.others} trials that are not complete are passed by")


def _say(study: str, first: int, history: Any) -> None:
    number = len(history.finished)
    last = "" if number == 1 else f" to {first + number - 1}"
    click.echo(f"{number} finished trials are in study {study} as trial {first}{last}")
    for reason in history.left_out[:SHOWN]:
        click.echo(f"left out: {reason}", err=True)
    if len(history.left_out) > SHOWN:
        click.echo(f"left out: {len(history.left_out)} in all", err=True)
