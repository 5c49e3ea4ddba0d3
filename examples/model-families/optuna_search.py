"""Choose among three model families, and search their parameters, with Optuna."""

import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

X, y = load_breast_cancer(return_X_y=True)


def accuracy(trial):
    family, seed = trial.suggest_categorical("family", ["svm", "forest", "boosting"]), trial.number
    if family == "svm":
        model = make_pipeline(StandardScaler(), SVC(C=trial.suggest_float("C", 1e-3, 1e3, log=True)))
    elif family == "forest":
        depth = trial.suggest_int("max_depth", 1, 8)
        model = RandomForestClassifier(40, max_depth=depth, random_state=seed)
    else:
        depth = trial.suggest_int("max_depth", 1, 8)
        rate = trial.suggest_float("learning_rate", 0.01, 0.3, log=True)
        model = GradientBoostingClassifier(n_estimators=40, max_depth=depth, learning_rate=rate, random_state=seed)
    folds = StratifiedKFold(3, shuffle=True, random_state=42)
    return cross_val_score(model, X, y, cv=folds).mean()


optuna.logging.disable_default_handler()
sampler = optuna.samplers.TPESampler(seed=42)
study = optuna.create_study(
    storage="sqlite:///optuna.db", study_name="families", load_if_exists=True, direction="maximize", sampler=sampler
)
finished = [trial for trial in study.trials if trial.state.is_finished()]
study.optimize(accuracy, n_trials=12 - len(finished))
print("best parameters", study.best_params)
print("accuracy", study.best_value)
