"""The environment variables that the program reads. Tests must not inherit them."""

# Variables of the study.
STUDY = (
    "MODEL_CHOICE",
    "DATASET",
    "DATA_FILE",
    "TARGET_COLUMN",
    "CV_FOLDS",
    "METRIC",
    "NUM_ITERATIONS",
    "NUM_HYPERPARAM_SETS",
    "SEARCH_MODE",
    "SEED",
    "BASE_ESTIMATOR",
    "ACQ_FUNC",
    "STUDY_NAME",
)

# The table in docs/settings.md without LEDGER_HOME, which tests set.
ALL = (
    *STUDY,
    *("DATABASE_URL", "LEDGER_ALLOW", "TRIAL_TIMEOUT"),
    *("WORKER_TRIAL_TIMEOUT", "WORKER_GRACE", "WORKER_MEMORY_LIMIT", "WORKER_THREADS"),
    *("LEDGER_GIVE_UP_AFTER", "LEDGER_STATEMENT_TIMEOUT", "LEDGER_LOG_FORMAT", "LEDGER_LOG_LEVEL"),
)
