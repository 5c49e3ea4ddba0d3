"""The kinds of logins.

This module imports no other module, so a command can list the kinds of logins without importing psycopg.
"""

# Each key of KINDS is the name of a kind of login. Each value of KINDS is the name of a role. A login gets the rights
# of the role that belongs to the login's kind. The file sql/roles.sql creates all roles of KINDS.
KINDS = {
    "owner": "ledger_owner",
    "manager": "ledger_manager",
    "worker": "ledger_worker",
    "reader": "ledger_reader",
}
# The roles of GROUP_ROLES cannot log in. A login that is a member of a group role inherits the rights of the role. If a
# group role could log in, each member of the role could change the role's password and settings. If a group role could
# log in, each member of the role could also end the sessions of the role.
GROUP_ROLES = ("ledger_manager", "ledger_worker", "ledger_reader")

# The default time limits of a new login. Each key of LIMITS is the name of a kind of login. The time limits are
# necessary, because an open transaction keeps its locks and its snapshot. A login can change its own time limits.
# Therefore each program of the ledger also sets time limits for its own sessions. The file sql/roles.sql sets the time
# limits of the role ledger_owner.
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
# Maximum number of open connections of a new login, for each kind of login. A reader needs one connection for each
# command. The dashboard needs at most 15 connections. A worker needs one connection, but many workers can share a
# login. The value -1 means that the number of connections has no limit.
CONNECTION_LIMITS = {"owner": -1, "manager": -1, "worker": -1, "reader": 20}
