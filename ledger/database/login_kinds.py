"""The kinds of logins.

This module imports no other module, so a command can list the kinds without importing psycopg.
"""

# Each key is the name of a kind of login. Each value is the role whose rights a login of this kind gets. The file
# sql/roles.sql creates the roles.
KINDS = {
    "owner": "ledger_owner",
    "manager": "ledger_manager",
    "worker": "ledger_worker",
    "reader": "ledger_reader",
}
