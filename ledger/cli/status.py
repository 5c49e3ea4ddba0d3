"""The command `status`, which shows the progress of a study once or until the study ends."""

import sys
import time
from dataclasses import fields
from typing import Any

import click

from ledger.access import connected
from ledger.cli import document
from ledger.cli.names import STUDY
from ledger.cli.options import examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings

# Maximum number of workers that the command shows without the option --watch. `ledger worker list` shows all workers.
_MOST_WORKERS = 200


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger status svm-42-341b3e",
        "ledger status svm-42-341b3e --watch",
        "ledger status svm-42-341b3e --json | jq .remaining_seconds",
    ),
)
@click.argument("name", type=STUDY)
@click.option(
    "--watch",
    is_flag=True,
    help="Show the progress until the study has ended. On a terminal, the command shows a live view. If the"
    " output is a file or a pipe, the command writes a line after each change.",
)
@document.json_option
@settings_options
def status(name: str, watch: bool, as_json: bool, settings: Settings) -> None:
    """Show the progress, best value, workers and failures of a study.

    With --watch, the command ends when the study ends. The exit code of --watch is 0 if the study is complete, and 1
    otherwise. All times come from the clock of the database server.
    """
    from ledger.database import status, studies

    if watch and as_json:
        raise UsageError("--json is one document: leave --watch out")
    from ledger.terminal.line import line
    from ledger.terminal.live import can_draw, console, follow, live

    with connected(settings) as connection:
        study_id = studies.get(connection, name).id
        if as_json:
            document.write(_document(status.read(connection, study_id)))
            return
        if not watch:
            from ledger.terminal.panel import StatusPanel

            on = console(sys.stdout)
            now = status.read(connection, study_id)
            on.print(StatusPanel(now, rows=_MOST_WORKERS))
            return
        changes = follow(lambda: status.read(connection, study_id), time.sleep)
        if can_draw(sys.stdout):
            from ledger.terminal.panel import StatusPanel

            with live(console(sys.stdout), transient=False) as view:
                for now in changes:
                    view.update(StatusPanel(now), refresh=True)
        else:
            last = ""
            for now in changes:
                if (text := line(now)) != last:
                    last = text
                    click.echo(text)
    if now.state != "complete":
        raise LedgerError(f"study {name} is {now.state}")


def _document(status: Any) -> dict[str, Any]:
    facts = {field.name: getattr(status, field.name) for field in fields(status)}
    return {"study": facts.pop("name"), **facts}
