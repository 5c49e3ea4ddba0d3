"""The command `dashboard`, which shows the ledger in optuna-dashboard."""

import click

from ledger.access import database
from ledger.cli.options import examples, settings_options
from ledger.cli.sections import SectionedCommand
from ledger.errors import LedgerError
from ledger.settings import Settings


@click.command(cls=SectionedCommand, epilog=examples("ledger dashboard", "ledger dashboard --port 8081"))
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="Port of the dashboard. If the port is 0, the command chooses a free port.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address of the dashboard. Everybody who can reach this address can see every study without a password. The"
    " dashboard answers only requests for this address or for localhost.",
)
@settings_options
def dashboard(port: int, host: str, settings: Settings) -> None:
    """Show the ledger in Optuna's dashboard until the user presses Ctrl-C.

    The dashboard reads the views that `ledger optuna enable` creates. The dashboard copies no data and changes no data.
    Studies can run while the dashboard is open. The embedded server does not stop while the dashboard runs. To install
    the dashboard, run `pip install 'trial-ledger[dashboard]'`.
    """
    from ledger.optuna.connect import check_version, opened

    for package in ("optuna", "optuna-dashboard"):
        check_version(package)
    from ledger.optuna.dashboard import server

    with database(settings) as url, opened(url, settings.statement_timeout) as storage:
        try:
            httpd = server(storage, host, port)
        except OSError as error:
            raise LedgerError(
                f"the dashboard cannot listen on {host}:{port}: {error.strerror}; choose another --port"
            ) from None
        with httpd:
            click.echo(f"the dashboard is at http://{host}:{httpd.server_port}/dashboard; Ctrl-C stops the dashboard")
            try:
                httpd.serve_forever()
            except KeyboardInterrupt:
                click.echo("the dashboard has stopped")
