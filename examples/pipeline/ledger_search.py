"""Search the parameters of a pipeline on a table with numbers, texts and missing values, with the ledger."""

from pathlib import Path

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ledger.sklearn import LedgerSearchCV

table = pd.read_csv(Path(__file__).parents[2] / "docs" / "customers.csv")
X, y = table.drop(columns="bought"), table["bought"]
numbers = X.select_dtypes("number").columns
columns = ColumnTransformer(
    [("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers)],
    remainder=OneHotEncoder(handle_unknown="ignore"),
)
pipeline = Pipeline([("columns", columns), ("model", LogisticRegression())])
space = {
    "columns__numbers__simpleimputer__strategy": ["mean", "median"],
    "model": [LogisticRegression(max_iter=1_000), RandomForestClassifier(50, random_state=0)],
    "model__class_weight": [None, "balanced"],
}
search = LedgerSearchCV(
    pipeline,
    space,
    n_trials=6,
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
    scoring=["roc_auc", "accuracy"],
    refit="roc_auc",
)
search.fit(X, y)
print("best parameters", search.best_params_)
print("area under the curve", search.best_score_)
print(pd.DataFrame(search.cv_results_)[["mean_test_roc_auc", "mean_test_accuracy", "mean_fit_time"]])
