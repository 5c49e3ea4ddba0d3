"""The command `export`, which writes the trials of a study as one document or as several files."""

import sys
from functools import partial
from pathlib import Path
from typing import TextIO, cast

import click

from ledger.access import connected
from ledger.cli.names import STUDY
from ledger.cli.options import examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings
from ledger.text import one_line, printable


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger export svm-42-341b3e --format csv --output trials.csv",
        "ledger export svm-42-341b3e --format jsonl | head -n 1",
        "ledger export svm-42-341b3e --format files --output folder",
        "ledger export svm-42-341b3e --format optuna --output study.db",
    ),
)
@click.argument("name", type=STUDY)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json", "jsonl", "parquet", "files", "optuna"]),
    default="json",
    show_default=True,
    help="--format csv writes a table. --format json writes one JSON document. --format jsonl writes one trial per"
    " line. --format parquet writes a table with typed columns. --format files writes two JSON files per trial."
    " --format optuna writes an SQLite storage of Optuna.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="File to write. With --format files, the path names a folder. Default: standard output.",
)
@click.option(
    "--spreadsheet",
    is_flag=True,
    help="Write a csv file that a spreadsheet can open safely. The command puts an apostrophe before each text that a"
    " spreadsheet would evaluate as a formula, and escapes unprintable characters.",
)
@settings_options
def export(name: str, format_: str, output: Path | None, spreadsheet: bool, settings: Settings) -> None:
    """Export the trials of a study, even if the study is running.

    The command reads the trials in pages, and writes each page before it reads the next page. The output file appears
    only when the file is complete. If the output is a terminal, the command escapes unprintable characters.
    """
    from sqlalchemy.exc import DBAPIError

    from ledger.database import artifacts, studies
    from ledger.export.documents import DOCUMENTS, write_csv
    from ledger.export.files import whole_file, write_files

    if spreadsheet and format_ != "csv":
        raise UsageError(f"--spreadsheet applies to the format csv, but not to {format_}: add --format csv")
    if format_ == "files" and output is None:
        raise UsageError("--format files writes into a folder: name the folder with --output")
    if format_ == "optuna" and output is None:
        raise UsageError("--format optuna writes a file: name the file with --output, as in --output study.db")
    if format_ == "parquet":
        _check_parquet(output)
    write = partial(write_csv, spreadsheet=True) if spreadsheet else DOCUMENTS.get(format_, write_csv)
    with connected(settings) as connection:
        study = studies.get(connection, name)
        if format_ == "parquet":
            from ledger.export.parquet import write_parquet

            assert output is not None
            with whole_file(output, binary=True) as file:
                write_parquet(connection, study, file)
        elif format_ == "files":
            assert output is not None
            written = write_files(connection, study, output)
            click.echo(f"{written} files written to {one_line(str(output))}", err=True)
        elif format_ == "optuna":
            from ledger.optuna.export import write_optuna

            assert output is not None
            write_optuna(connection, study, output)
        elif output is None:
            try:
                write(connection, study, _standard_output())
            except DBAPIError as error:
                # The command must not start again after an outage of the database, because the command has already
                # written a part of the output.
                raise LedgerError(
                    f"the output is incomplete, because the database failed ({one_line(str(error.orig))}):"
                    " run the command again, or use --output, which writes a complete file or no file"
                ) from None
        else:
            with whole_file(output) as file:
                write(connection, study, file)
        if output is not None and format_ != "files":
            click.echo(f"trials written to {one_line(str(output))}", err=True)
        # With the format json, a user can move a study to another ledger. The command prints a warning, because the
        # json file does not contain the artifacts.
        if format_ == "json" and (left := artifacts.count(connection, study.id)):
            click.echo(
                f"study {name} has {left} artifacts, but the export does not contain artifacts: download them by"
                " `ledger artifact get`",
                err=True,
            )


class _EscapingStream:
    """A text stream that escapes unprintable characters, and writes the result to a terminal.

    Without the escapes, the texts of a study could change the state of the terminal.
    """

    def write(self, text: str) -> int:
        return sys.stdout.write(printable(text))


def _standard_output() -> TextIO:
    return cast(TextIO, _EscapingStream()) if sys.stdout.isatty() else sys.stdout


def _check_parquet(output: Path | None) -> None:
    from importlib.util import find_spec

    if output is None:
        raise UsageError("--format parquet writes a binary file: name the file with --output")
    if find_spec("pyarrow") is None:
        raise UsageError("--format parquet needs pyarrow, which is not installed: pip install 'trial-ledger[parquet]'")
