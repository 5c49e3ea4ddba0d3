"""Search the parameters of a support-vector machine with scikit-optimize."""

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
from skopt import BayesSearchCV

X, X_test, y, y_test = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)
space = {"C": (1e-3, 1e3, "log-uniform"), "gamma": (1e-6, 1e-2, "log-uniform")}
search = BayesSearchCV(SVC(), space, n_iter=12, n_points=4, n_jobs=4, cv=3, random_state=42)
search.fit(X, y)
print("best parameters", dict(search.best_params_))
print("test accuracy", search.score(X_test, y_test))
