"""The command `where`, which prints the database that the commands use, and the reason for the choice."""

import os

import click

from ledger.cli import document
from ledger.cli.options import examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.settings import FoundHome, Settings, find_home

_REASONS = {
    "variable": "the variable LEDGER_HOME names this folder",
    "current": "the current folder contains this folder",
    "parent": "this folder is the nearest folder .ledger above the current folder",
    "new": "no folder .ledger exists in the current folder or above",
}


@click.command(cls=SectionedCommand, epilog=examples("ledger where", "ledger where --json"))
@document.json_option
@settings_options
def where(as_json: bool, settings: Settings) -> None:
    """Say which database the commands use in the current folder, and why.

    The command does not start the embedded server, and changes nothing.
    """
    from ledger import embedded
    from ledger.database.connection import place

    found = find_home()
    if settings.database_url is not None:
        facts = {"database": place(settings.database_url), "because": "an option or a variable names the database"}
        server = None
    else:
        facts = {"database": f"embedded server in {found.folder.absolute()}", "because": _REASONS[found.origin]}
        server = facts["server"] = _server(found, is_running=embedded.is_running(found.folder))
    if as_json:
        home = None if settings.database_url else os.fspath(found.folder.absolute())
        document.write({"database": facts["database"], "home": home, "because": facts["because"], "server": server})
        return
    for name, value in facts.items():
        click.echo(f"{name:<11} {value}")


def _server(found: FoundHome, *, is_running: bool) -> str:
    from ledger import embedded

    if is_running:
        return "runs"
    return (
        "stopped; the next command starts the server"
        if embedded.exists(found.folder)
        else "not created; `ledger run` creates the server"
    )
