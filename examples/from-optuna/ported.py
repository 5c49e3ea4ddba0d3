"""Search the parameters of a nearest-neighbours classifier with the ledger, by the objective of an Optuna script."""

import optuna
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import ledger

X, y = load_wine(return_X_y=True)


def score(trial):
    neighbors = trial.suggest_int("neighbors", 1, 30)
    weights = trial.suggest_categorical("weights", ["uniform", "distance"])
    power = trial.suggest_float("power", 1.0, 3.0)
    scaler = MinMaxScaler() if trial.suggest_categorical("to_range", [True, False]) else StandardScaler()
    model = KNeighborsClassifier(n_neighbors=neighbors, weights=weights, p=power)
    return cross_val_score(make_pipeline(scaler, model), X, y, cv=5).mean()


space = {"neighbors": (1, 30), "weights": ["uniform", "distance"], "power": (1.0, 3.0), "to_range": [True, False]}
study = ledger.maximize(lambda params: score(optuna.trial.FixedTrial(params)), space, trials=12, name="neighbours")
print("best parameters", study.best_params)
print("accuracy", study.best_value)
