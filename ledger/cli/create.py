"""The command `ledger study create`, which records a study but does not start the study."""

from pathlib import Path
from typing import Any

import click

from ledger.access import connected
from ledger.cli.options import examples, settings_options
from ledger.cli.study_options import StudyCommand, study_options
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.study.file import assemble


@click.command(
    cls=StudyCommand,
    epilog=examples("ledger study create my-study.toml", "ledger study create --model svm --name warm --iterations 10"),
)
@study_options
@settings_options
def create(file: Path | None, options: dict[str, Any], settings: Settings) -> None:
    """Record a study, but do not start it.

    Before the study starts, the user can enqueue points and import finished trials. `ledger resume NAME` starts the
    study. The commands `ledger run` and `ledger manager` also start the study if the user passes the settings of the
    study.
    """
    from ledger.manager.registration import record
    from ledger.search import check_known_objective

    asked = assemble(options, file)
    check_known_objective(asked)
    with connected(settings, create=True) as connection:
        if record(connection, asked) is None:
            raise LedgerError(
                f"study {asked.name} exists already: `ledger study show {asked.name}` shows the existing study;"
                " choose a different --name to create a new study"
            )
    click.echo(f"study {asked.name} is recorded, but not started: `ledger resume {asked.name}` starts the study")
