"""Search the parameters of a pipeline on a table with numbers, texts and missing values, with Optuna."""

from pathlib import Path

import optuna
import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

table = pd.read_csv(Path(__file__).parents[2] / "docs" / "customers.csv")
X, y = table.drop(columns="bought"), table["bought"]
numbers = X.select_dtypes("number").columns
columns = ColumnTransformer(
    [("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers)],
    remainder=OneHotEncoder(handle_unknown="ignore"),
)
pipeline = Pipeline([("columns", columns), ("model", LogisticRegression())])
models = {"logistic": LogisticRegression(max_iter=1_000), "forest": RandomForestClassifier(50, random_state=0)}
folds = StratifiedKFold(3, shuffle=True, random_state=0)


def with_params(params):
    return clone(pipeline).set_params(
        columns__numbers__simpleimputer__strategy=params["strategy"],
        model=clone(models[params["model"]]),
        model__class_weight=params["class_weight"],
    )


def score(trial):
    params = {
        "strategy": trial.suggest_categorical("strategy", ["mean", "median"]),
        "model": trial.suggest_categorical("model", [*models]),
        "class_weight": trial.suggest_categorical("class_weight", [None, "balanced"]),
    }
    found = cross_validate(with_params(params), X, y, cv=folds, scoring=["roc_auc", "accuracy"])
    for name in ("test_accuracy", "fit_time"):
        trial.set_user_attr(name, float(found[name].mean()))
    return found["test_roc_auc"].mean()


optuna.logging.disable_default_handler()
sampler = optuna.samplers.TPESampler(seed=42)
study = optuna.create_study(
    storage="sqlite:///optuna.db", study_name="pipeline", load_if_exists=True, direction="maximize", sampler=sampler
)
finished = [trial for trial in study.trials if trial.state.is_finished()]
study.optimize(score, n_trials=6 - len(finished))
model = with_params(study.best_params).fit(X, y)
print("best parameters", study.best_params)
print("area under the curve", study.best_value)
print(study.trials_dataframe()[["value", "user_attrs_test_accuracy", "user_attrs_fit_time"]])
