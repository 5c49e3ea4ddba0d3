"""Example objective: a nearest-neighbour classifier that predicts the maker of a wine."""

from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

features, makers = load_wine(return_X_y=True)


def loss(params):
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(**params))
    scores = cross_val_score(model, features, makers, cv=5, error_score="raise")
    return {"loss": 1 - scores.mean(), "accuracy": scores.mean(), "spread": scores.std()}
