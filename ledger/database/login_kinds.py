"""The kinds of logins.

This module imports no other module, so a command can list the kinds of logins without importing psycopg.
"""

# Each key of KINDS is the name of a kind of login. Each value of KINDS is the role whose rights a login of the kind
# gets. The file sql/roles.sql creates all roles of KINDS.
KINDS = {
    "owner": "ledger_owner",
    "manager": "ledger_manager",
    "worker": "ledger_worker",
    "reader": "ledger_reader",
}
# The roles of GROUP_ROLES cannot log in. Logins inherit the rights of a group role. If a group role could log in, each
# member could change the password and the settings of the role, and end the sessions of the role.
GROUP_ROLES = ("ledger_manager", "ledger_worker", "ledger_reader")

# Time limits of each new login, by the kind of the login. The limits are necessary because an open transaction keeps
# its locks and its snapshot. A login can change its own time limits. Therefore the programs of the ledger set the time
# limits of their own sessions. The file sql/roles.sql sets the time limits of the role ledger_owner.
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
# dashboard needs at most 15 connections. A worker needs one connection, but many workers can share a login. The value
# -1 means no limit, as in PostgreSQL.
CONNECTION_LIMITS = {"owner": -1, "manager": -1, "worker": -1, "reader": 20}
