"""A function that logs the settings that a command reads from environment variables."""

import logging
import os

import click
from click.core import ParameterSource

from ledger.database.connection import place
from ledger.logs import log_event
from ledger.settings import Settings

_log = logging.getLogger("ledger.command")


def log_environment(settings: Settings) -> None:
    """Log the settings that the current command reads from environment variables.

    The log line can remind the user of an environment variable that the user has forgotten, such as SEED. If the
    command uses no environment variable, the function logs nothing. If the command starts again after an outage of the
    database, the function does not log the settings again.
    """
    context = click.get_current_context()
    if __name__ in context.meta:
        return
    context.meta[__name__] = True
    values: dict[str, str] = {}
    for parameter in context.command.params:
        if context.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT:
            variable = str(parameter.envvar)
            values[variable] = os.environ[variable]
    if "DATABASE_URL" in values:
        # The function `place` removes the password from the URL.
        values["DATABASE_URL"] = place(values["DATABASE_URL"])
    elif settings.database_url is None and os.environ.get("LEDGER_HOME"):
        values["LEDGER_HOME"] = os.environ["LEDGER_HOME"]
    if values:
        listed = ", ".join(f"{variable}={value}" for variable, value in values.items())
        log_event(_log, "environment", f"settings from the environment: {listed}", variables=values)
