"""The command `ledger trial reports`, which lists the values that a trial reported."""

import click

from ledger.access import connected
from ledger.cli import document, table
from ledger.cli.names import STUDY
from ledger.cli.options import LARGEST_INTEGER, examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.database.rows import ReportRow, columns
from ledger.settings import Settings

_COLUMNS = tuple(name for name in columns(ReportRow) if name != "trial")


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger trial reports svm-42-341b3e 3",
        "ledger trial reports svm-42-341b3e 3 --attempt 2",
        "ledger trial reports svm-42-341b3e 3 --json | jq '.[].value'",
    ),
)
@click.argument("name", type=STUDY)
@click.argument("number", type=click.IntRange(0, LARGEST_INTEGER))
@click.option(
    "--attempt",
    type=click.IntRange(1, LARGEST_INTEGER),
    metavar="NUMBER",
    help="List only the reports of this attempt. By default, list the reports of all attempts.",
)
@document.json_option
@settings_options
def reports(name: str, number: int, attempt: int | None, as_json: bool, settings: Settings) -> None:
    """List the values that a trial reported during the training.

    The column SECONDS shows the time from the claim of the attempt to the report. The value is missing if the objective
    reported NaN or an infinity.
    """
    from ledger.database import reports, studies, trials

    is_empty = True
    with connected(settings) as connection:
        study = studies.get(connection, name)
        trials.get(connection, study, number)
        pages = reports.pages(connection, study.id, trial=number, attempt=attempt)
        if as_json:
            document.write_list(document.pick(row, *_COLUMNS) for page in pages for row in page)
            return
        listing = table.PagedTable(("ATTEMPT", "STEP", "VALUE", "SECONDS"))
        for page in pages:
            listing.show([(row.attempt, row.step, row.value, row.seconds) for row in page])
            is_empty = False
    if is_empty:
        of = f"trial {number}" if attempt is None else f"attempt {attempt} of trial {number}"
        click.echo(f"{of} of study {name} has no reports")
