"""Search the parameters of a support-vector machine with Optuna."""

import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.svm import SVC

X, X_test, y, y_test = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)


def score(trial):
    params = {
        "C": trial.suggest_float("C", 1e-3, 1e3, log=True),
        "gamma": trial.suggest_float("gamma", 1e-6, 1e-2, log=True),
    }
    return cross_val_score(SVC(**params), X, y, cv=3).mean()


optuna.logging.disable_default_handler()
sampler = optuna.samplers.TPESampler(seed=42)
study = optuna.create_study(
    storage="sqlite:///optuna.db", study_name="svm", load_if_exists=True, direction="maximize", sampler=sampler
)
finished = [trial for trial in study.trials if trial.state.is_finished()]
study.optimize(score, n_trials=12 - len(finished))
model = SVC(**study.best_params).fit(X, y)
print("best parameters", study.best_params)
print("test accuracy", model.score(X_test, y_test))
