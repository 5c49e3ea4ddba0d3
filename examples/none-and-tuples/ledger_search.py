"""Search choices that are None and tuples, with the ledger."""

from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

import ledger

X, y = load_wine(return_X_y=True)
space = {"layers": [(8,), (16,), (16, 8)], "quantiles": [None, 20, 100], "alpha": (1e-5, 1.0, "log-uniform")}


def score(params):
    scaler = StandardScaler() if params["quantiles"] is None else QuantileTransformer(n_quantiles=params["quantiles"])
    model = MLPClassifier(params["layers"], alpha=params["alpha"], solver="lbfgs", max_iter=150, random_state=0)
    return cross_val_score(make_pipeline(scaler, model), X, y, cv=3).mean()


result = ledger.maximize(score, space, trials=10, workers=2)
print("best parameters", result.best_params)
print("accuracy", result.best_value)
