"""The kinds of logins. This module imports no other module, so a command can list the kinds without psycopg."""

# Each key is the name of a kind of login. Each value is the role of sql/roles.sql that has the rights of this kind.
KINDS = {
    "owner": "ledger_owner",
    "manager": "ledger_manager",
    "worker": "ledger_worker",
    "reader": "ledger_reader",
}
