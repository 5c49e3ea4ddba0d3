"""The commands `annotate`, `rename`, `archive`, `unarchive` and `delete` of the command group `ledger study`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ledger.access import connected
from ledger.cli import annotation
from ledger.cli.names import STUDY
from ledger.cli.options import TEXT, examples, settings_options, store_option
from ledger.cli.sections import SectionedCommand
from ledger.cli.study_list import filter_options
from ledger.cli.study_list import show as show_list
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ledger.database.rows import StudyRow


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger study annotate svm-42-341b3e --tag paper --note 'for table 2'",
        "ledger study annotate svm-42-341b3e --attribute ticket=117",
    ),
)
@click.argument("name", type=STUDY)
@annotation.change_options
@settings_options
def annotate(name: str, settings: Settings, **given: Any) -> None:
    """Change the tags, the note and the user attributes of a study. The study may have ended."""
    from ledger.database import annotations, studies

    change = annotation.change_of(given)
    with connected(settings) as connection:
        row = studies.get(connection, name)
        word = annotations.annotate(connection, row, None, change)
        now = annotations.of_study(connection, row.id)
    annotation.show(f"study {name}", now, word)


@click.command(cls=SectionedCommand, epilog=examples("ledger study rename svm-42-341b3e svm-baseline"))
@click.argument("name", type=STUDY)
@click.argument("new_name", type=TEXT)
@settings_options
def rename(name: str, new_name: str, settings: Settings) -> None:
    """Rename a study. The command also renames the view that `ledger study view` created.

    Only the owner of the database can rename a study. A study with a running manager cannot be renamed. Workers with
    the option --study still look for the previous name, so start these workers again with the new name.
    """
    from ledger.database import studies
    from ledger.study.names import check_name

    check_name(new_name)
    with connected(settings) as connection:
        word = studies.rename(connection, studies.get(connection, name), new_name)
    if word == "taken":
        raise LedgerError(f"another study is named {new_name}: choose another name")
    _refuse(word, name, "rename")
    click.echo(f"study {name} is now named {new_name}")


@click.command(cls=SectionedCommand, epilog=examples("ledger study archive svm-42-341b3e"))
@click.argument("names", type=STUDY, nargs=-1, required=True, metavar="NAME...")
@settings_options
def archive(names: Sequence[str], settings: Settings) -> None:
    """Archive studies.

    `ledger study list` does not show archived studies. Commands other than `ledger study list` can read archived
    studies.
    """
    _archive(names, settings, archived=True)


@click.command(cls=SectionedCommand, epilog=examples("ledger study unarchive svm-42-341b3e"))
@click.argument("names", type=STUDY, nargs=-1, required=True, metavar="NAME...")
@settings_options
def unarchive(names: Sequence[str], settings: Settings) -> None:
    """Take studies out of the archive."""
    _archive(names, settings, archived=False)


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger study delete svm-42-341b3e --yes",
        "ledger study delete --name 'try-*' --dry-run",
        "ledger study delete --tag scratch --yes",
    ),
)
@click.argument("names", type=STUDY, nargs=-1, metavar="[NAME]...")
@filter_options
@click.option("--dry-run", is_flag=True, help="List the studies that the command would delete, and delete nothing.")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@settings_options
@store_option
def delete(
    names: Sequence[str],
    pattern: str | None,
    tags: Sequence[str],
    dry_run: bool,
    yes: bool,
    settings: Settings,
) -> None:
    """Delete studies with their trials, attempts, losses, annotations and artifacts.

    The user gives the names of the studies, or chooses the studies by --name or --tag. --name and --tag also choose
    archived studies. The command deletes the studies one after the other. If a study cannot be deleted, the command
    stops at this study.
    """
    from ledger import artifacts
    from ledger.database import studies, study_list

    if bool(names) == (pattern is not None or bool(tags)):
        raise UsageError("say which studies: give the names of the studies, or select studies by --name or --tag")
    chosen = study_list.StudyFilter(tags=tags, name=pattern, archived=None)
    with connected(settings) as connection:
        if not names:
            names = [row.study for row in study_list.read(connection, chosen)]
            if not names:
                click.echo("no study matches the options, so the command deletes nothing")
                return
        rows = [studies.get(connection, name) for name in dict.fromkeys(names)]
        if dry_run:
            show_list(_progress(connection, rows))
            click.echo(f"ledger: the command would delete {_counted(rows)}", err=True)
            return
        if not yes:
            raise UsageError(
                f"the command would delete {_counted(rows)} with all trials: add --yes, or export the studies first;"
                " --dry-run lists the studies"
            )
        for row in rows:
            if studies.delete(connection, row) == "managed":
                raise LedgerError(
                    f"study {row.name} has a running manager: stop the manager or run `ledger study cancel {row.name}`,"
                    " then delete the study"
                )
            click.echo(f"study {row.name} is deleted")
        if left := artifacts.sweep(connection, settings):
            click.echo(f"ledger: {artifacts.waiting(left)}", err=True)


def _archive(names: Sequence[str], settings: Settings, *, archived: bool) -> None:
    from ledger.database import studies

    with connected(settings) as connection:
        for row in [studies.get(connection, name) for name in dict.fromkeys(names)]:
            _refuse(studies.archive(connection, row, archived=archived), row.name, "archive")
            state = (
                f"archived: `ledger study unarchive {row.name}` lists the study again"
                if archived
                else "out of the archive"
            )
            click.echo(f"study {row.name} is {state}")


def _refuse(word: str, name: str, verb: str) -> None:
    if word == "managed":
        raise LedgerError(f"study {name} has a running manager: stop the manager, then {verb} the study")
    if word == "unknown":
        raise LedgerError(f"study {name} was deleted")


def _progress(connection: "Connection", rows: "Sequence[StudyRow]") -> list[Any]:
    from ledger.database import reads

    return [progress for row in rows for progress in reads.progress(connection, row.name)]


def _counted(rows: "Sequence[StudyRow]") -> str:
    return f"study {rows[0].name}" if len(rows) == 1 else f"{len(rows)} studies"
