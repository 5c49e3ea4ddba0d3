"""Search the parameters of a support-vector regression with scikit-optimize."""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from skopt import gp_minimize
from skopt.space import Categorical, Real
from skopt.utils import use_named_args

X, y = load_diabetes(return_X_y=True)
space = [
    Real(1e-1, 1e4, prior="log-uniform", name="C"),
    Real(1e-4, 1e0, prior="log-uniform", name="gamma"),
    Categorical(["rbf", "sigmoid"], name="kernel"),
]


@use_named_args(space)
def error(C, gamma, kernel):
    model = make_pipeline(StandardScaler(), SVR(C=C, gamma=gamma, kernel=kernel))
    return float(np.sqrt(-cross_val_score(model, X, y, cv=5, scoring="neg_mean_squared_error").mean()))


result = gp_minimize(error, space, n_calls=12, random_state=1)
print("best parameters", {dimension.name: value for dimension, value in zip(space, result.x, strict=True)})
print("error", result.fun)
