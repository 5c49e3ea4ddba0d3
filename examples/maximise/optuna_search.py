"""Maximise a profit, with Optuna."""

import optuna


def profit(trial):
    price, advertising = trial.suggest_float("price", 20, 120), trial.suggest_int("advertising", 0, 5000)
    sold = 1000 - 8 * price + 3 * advertising**0.5
    return (price - 20) * sold - advertising


optuna.logging.disable_default_handler()
study = optuna.create_study(
    storage="sqlite:///optuna.db", study_name="profit", load_if_exists=True, direction="maximize"
)
finished = [trial for trial in study.trials if trial.state.is_finished()]
study.optimize(profit, n_trials=16 - len(finished))
print("best parameters", study.best_params)
print("profit", study.best_value)
