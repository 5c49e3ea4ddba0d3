"""Choose among three model families, and search their parameters, with the ledger."""

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import ledger

X, y = load_breast_cancer(return_X_y=True)


@ledger.objective(
    space={
        "family": ["svm", "forest", "boosting"],
        "C": (1e-3, 1e3, "log-uniform"),
        "max_depth": (1, 8),
        "learning_rate": (0.01, 0.3, "log-uniform"),
    }
)
def accuracy(params, context):
    depth, seed = params["max_depth"], context.seed
    if params["family"] == "svm":
        model = make_pipeline(StandardScaler(), SVC(C=params["C"]))
    elif params["family"] == "forest":
        model = RandomForestClassifier(40, max_depth=depth, random_state=seed)
    else:
        rate = params["learning_rate"]
        model = GradientBoostingClassifier(n_estimators=40, max_depth=depth, learning_rate=rate, random_state=seed)
    folds = StratifiedKFold(3, shuffle=True, random_state=42)
    return cross_val_score(model, X, y, cv=folds).mean()


result = ledger.Study(accuracy, name="families", direction="maximize", trials=12, batch_size=4).run(workers=2)
print("best parameters", result.best_params)
print("accuracy", result.best_value)
