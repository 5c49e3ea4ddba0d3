"""Search the parameters of a gradient boosting regression with Optuna."""

import optuna
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_score

X, y = load_diabetes(return_X_y=True)


def score(trial):
    params = {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "max_depth": trial.suggest_int("max_depth", 1, 5),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 30),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
    }
    model = GradientBoostingRegressor(n_estimators=60, random_state=trial.number, **params)
    return cross_val_score(model, X, y, cv=KFold(5, shuffle=True, random_state=42), scoring="r2").mean()


optuna.logging.disable_default_handler()
sampler = optuna.samplers.TPESampler(seed=42)
study = optuna.create_study(
    storage="sqlite:///optuna.db", study_name="boosting", load_if_exists=True, direction="maximize", sampler=sampler
)
finished = [trial for trial in study.trials if trial.state.is_finished()]
study.optimize(score, n_trials=12 - len(finished))
print("best parameters", study.best_params)
print("r2", study.best_value)
