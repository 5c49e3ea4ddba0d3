"""The database role that each command needs, and advice for a user whose database role lacks privileges."""

import click

from ledger.access import MissingPrivilegeError
from ledger.errors import LedgerError

# Each key of `_ROLES` is a command, and each value is the database role that the command needs. The file sql/roles.sql
# creates the roles. If `_ROLES` does not contain a command, the command needs only the role `ledger_reader`.
_ROLES = {
    "run": "ledger_owner",
    "manager": "ledger_manager",
    "resume": "ledger_manager",
    "worker": "ledger_worker",
    "study create": "ledger_manager",
    "study pause": "ledger_manager",
    "study cancel": "ledger_manager",
    "study delete": "ledger_owner",
    "study view": "ledger_owner",
    "trial enqueue": "ledger_manager",
    "trial retry": "ledger_manager",
    "trial cancel": "ledger_manager",
    "import file": "ledger_owner",
    "import csv": "ledger_manager",
    "import optuna": "ledger_manager",
    "artifact rm": "ledger_manager",
    "artifact sweep": "ledger_manager",
    "db upgrade": "ledger_owner",
    "optuna enable": "ledger_owner",
    "optuna disable": "ledger_owner",
}


def with_way_out(error: MissingPrivilegeError) -> LedgerError:
    """Return an error whose message names the role or the privileges that the running command needs."""
    names: list[str] = []
    context: click.Context | None = click.get_current_context()
    while context is not None and context.parent is not None:
        names.insert(0, str(context.info_name))
        context = context.parent
    command = " ".join(names)
    needed = _ROLES.get(command, "ledger_reader")
    if needed != "ledger_owner" and error.refusal == "permission denied for schema ledger":
        way_out = (
            f"use a login with the rights of {needed}; if your login already has these rights, run `ledger db upgrade`"
            " with a login of ledger_owner"
        )
    elif error.role != needed:
        way_out = f"`ledger {command}` needs the rights of {needed}"
    else:
        way_out = "run sql/roles.sql as a superuser to make ledger_owner the owner of the ledger"
    return LedgerError(f"{error}: {way_out}")
