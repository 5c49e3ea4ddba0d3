"""Search until the study has a number of trials, with Optuna. Each process of the search runs this program."""

import sys

import optuna


def loss(trial):
    return (trial.suggest_float("x", -5, 5) - 1) ** 2 + abs(trial.suggest_int("depth", 1, 9) - 3)


optuna.logging.disable_default_handler()
study = optuna.create_study(storage="sqlite:///optuna.db", study_name="more-machines", load_if_exists=True)
enough = optuna.study.MaxTrialsCallback(int(sys.argv[1]))
study.optimize(loss, n_jobs=2, callbacks=[enough])
print("best parameters", study.best_params)
print("value", study.best_value)
