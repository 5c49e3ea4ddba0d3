"""The kinds of logins. This module imports no other module, so a command can list the kinds without psycopg."""

# The name of each kind of login, and the role of sql/roles.sql that gives its rights.
KINDS = {
    "owner": "ledger_owner",
    "manager": "ledger_manager",
    "worker": "ledger_worker",
    "reader": "ledger_reader",
}
