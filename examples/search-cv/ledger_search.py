"""Search the parameters of a support-vector machine with the ledger."""

from scipy.stats import loguniform
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from ledger.sklearn import LedgerSearchCV

X, X_test, y, y_test = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)
search = LedgerSearchCV(SVC(), {"C": loguniform(1e-3, 1e3), "gamma": loguniform(1e-6, 1e-2)}, n_trials=12, cv=3)
search.fit(X, y)
print("best parameters", search.best_params_)
print("test accuracy", search.score(X_test, y_test))
