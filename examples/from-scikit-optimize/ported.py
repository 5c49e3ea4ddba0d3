"""Search the parameters of a support-vector regression with the ledger, in the space of a scikit-optimize script."""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from skopt.space import Categorical, Real

import ledger

X, y = load_diabetes(return_X_y=True)
space = [
    Real(1e-1, 1e4, prior="log-uniform", name="C"),
    Real(1e-4, 1e0, prior="log-uniform", name="gamma"),
    Categorical(["rbf", "sigmoid"], name="kernel"),
]


def error(params):
    model = make_pipeline(StandardScaler(), SVR(**params))
    return float(np.sqrt(-cross_val_score(model, X, y, cv=5, scoring="neg_mean_squared_error").mean()))


result = ledger.minimize(error, space, trials=12, seed=1, workers=2)
print("best parameters", result.best_params)
print("error", result.best_value)
