"""Search the parameters of a nearest-neighbours classifier with the ledger."""

from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import ledger

X, y = load_wine(return_X_y=True)
space = {"neighbors": (1, 30), "weights": ["uniform", "distance"], "power": (1.0, 3.0), "to_range": [True, False]}


def score(params):
    scaler = MinMaxScaler() if params["to_range"] else StandardScaler()
    model = KNeighborsClassifier(params["neighbors"], weights=params["weights"], p=params["power"])
    return cross_val_score(make_pipeline(scaler, model), X, y, cv=5).mean()


result = ledger.maximize(score, space, trials=12, workers=2)
print("best parameters", result.best_params)
print("accuracy", result.best_value)
