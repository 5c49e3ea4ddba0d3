"""Search the parameters of a nearest-neighbours classifier with Optuna."""

import optuna
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

X, y = load_wine(return_X_y=True)


def score(trial):
    neighbors = trial.suggest_int("neighbors", 1, 30)
    weights = trial.suggest_categorical("weights", ["uniform", "distance"])
    power = trial.suggest_float("power", 1.0, 3.0)
    scaler = MinMaxScaler() if trial.suggest_categorical("to_range", [True, False]) else StandardScaler()
    model = KNeighborsClassifier(n_neighbors=neighbors, weights=weights, p=power)
    return cross_val_score(make_pipeline(scaler, model), X, y, cv=5).mean()


study = optuna.create_study(direction="maximize")
study.optimize(score, n_trials=12)
print("best parameters", study.best_params)
print("accuracy", study.best_value)
