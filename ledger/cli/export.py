"""export: a study's trials as a document or as files."""

import sys
from pathlib import Path

import click

from ledger.cli.access import ledger_store
from ledger.cli.options import settings_options
from ledger.errors import UsageError
from ledger.settings import Settings


@click.command()
@click.argument("name")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json", "jsonl", "files"]),
    default="json",
    show_default=True,
    help="A table, a document, a trial a line, or two JSON files a trial.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file, or a folder for files. Default: standard output.",
)
@settings_options
def export(name: str, format_: str, output: Path | None, settings: Settings) -> None:
    """Write a study's trials: as they are now, streaming, and a file appears whole or not at all."""
    from ledger.export.documents import DOCUMENTS
    from ledger.export.files import whole_file, write_files

    if format_ == "files" and output is None:
        raise UsageError("--format files writes into a folder: name it with --output")
    with ledger_store(settings) as store:
        study = store.study(name)
        if format_ == "files":
            assert output is not None
            written = write_files(store, study, output)
            click.echo(f"{written} files written to {output}", err=True)
        elif output is None:
            DOCUMENTS[format_](store, study, sys.stdout)
        else:
            with whole_file(output) as file:
                DOCUMENTS[format_](store, study, file)
