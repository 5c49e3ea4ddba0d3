"""The log line that names the settings from the environment."""

import logging
import os

import click
from click.core import ParameterSource

from ledger.database.connection import place
from ledger.logs import log_event
from ledger.settings import Settings

_log = logging.getLogger("ledger.command")


def log_environment(settings: Settings) -> None:
    """Log the settings of the current command that come from the environment; nothing if none does.

    It makes a variable visible that was left in a shell, such as SEED. A command that starts over logs it once.
    """
    context = click.get_current_context()
    if context.meta.setdefault(__name__, False):
        return
    context.meta[__name__] = True
    found = {}
    for parameter in context.command.params:
        if context.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT:
            variable = str(parameter.envvar)
            found[variable] = os.environ[variable]
    if "DATABASE_URL" in found:
        # without its password
        found["DATABASE_URL"] = place(found["DATABASE_URL"])
    elif settings.database_url is None and os.environ.get("LEDGER_HOME"):
        found["LEDGER_HOME"] = os.environ["LEDGER_HOME"]
    if found:
        listed = ", ".join(f"{variable}={value}" for variable, value in found.items())
        log_event(_log, "environment", f"settings from the environment: {listed}", variables=found)
