"""The environment variables that the program reads. Tests must not inherit them."""

from ledger.study.tables import OPTIONS

# Those that define a study.
STUDY = tuple(option.variable for option in OPTIONS.values())

# The table in docs/settings.md without LEDGER_HOME, which tests set.
ALL = (
    *STUDY,
    *("DATABASE_URL", "LEDGER_DATABASE_URL_FILE", "LEDGER_ALLOW", "LEDGER_ALLOW_COMMAND"),
    *(f"LEDGER_WORKER_{name}" for name in ("TRIAL_TIMEOUT", "GRACE", "MEMORY_LIMIT", "THREADS", "TRAINER_USER")),
    *(f"LEDGER_{name}" for name in ("GIVE_UP_AFTER", "STATEMENT_TIMEOUT", "STORE", "LOG_FORMAT", "LOG_LEVEL")),
)
