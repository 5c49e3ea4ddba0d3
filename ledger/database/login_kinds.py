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
# These roles only give their rights to logins, and cannot log in themselves. A member of a role can change the role's
# own password and settings, and end the sessions of the role.
GROUP_ROLES = ("ledger_manager", "ledger_worker", "ledger_reader")

# Time limits that each new login of a kind gets. A transaction that is left open keeps its locks and its snapshot. The
# programs of the ledger set their own limits. A login can change its own limits, so the ledger does not depend on them.
# sql/roles.sql sets the limits of ledger_owner itself.
LIMITS = {
    "owner": {"idle_in_transaction_session_timeout": "5min", "lock_timeout": "10s"},
    "manager": {
        "idle_in_transaction_session_timeout": "20s",
        "lock_timeout": "5s",
        "statement_timeout": "2min",
        "transaction_timeout": "10min",
    },
    "worker": {
        "idle_in_transaction_session_timeout": "20s",
        "lock_timeout": "5s",
        "statement_timeout": "1min",
        "transaction_timeout": "1min",
    },
    "reader": {
        "idle_in_transaction_session_timeout": "5min",
        "lock_timeout": "5s",
        "statement_timeout": "10min",
        "transaction_timeout": "1h",
    },
}
# Largest number of open connections of each new login. A reader needs one connection for each command, and the
# dashboard needs at most 15. A worker needs one connection, but many workers can share a login. A login without a limit
# has the value -1, as in PostgreSQL.
CONNECTION_LIMITS = {"owner": -1, "manager": -1, "worker": -1, "reader": 20}
