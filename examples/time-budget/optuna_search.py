"""Search for five seconds, with Optuna."""

import time

import optuna


def slow(trial):
    time.sleep(0.1)
    return (trial.suggest_float("x", -5, 5) - 1) ** 2 + (trial.suggest_float("y", -5, 5) + 2) ** 2


optuna.logging.disable_default_handler()
study = optuna.create_study(storage="sqlite:///optuna.db", study_name="slow", load_if_exists=True)
study.optimize(slow, timeout=5)
print("best parameters", study.best_params)
print("value", study.best_value)
