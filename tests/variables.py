"""The environment variables that say what is searched, which a test must not inherit."""

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
