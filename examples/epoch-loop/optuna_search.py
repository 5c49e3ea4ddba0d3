"""Search the parameters of a linear classifier that trains in epochs, with Optuna."""

import numpy as np
import optuna
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

X_train, X_test, y_train, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)


def accuracy(trial):
    model = SGDClassifier(
        alpha=trial.suggest_float("alpha", 1e-6, 1e-1, log=True),
        learning_rate="constant",
        eta0=trial.suggest_float("rate", 1e-4, 1.0, log=True),
        random_state=trial.number,
    )
    curve = []
    for _ in range(10):
        model.partial_fit(X_train, y_train, classes=np.arange(10))
        curve.append(model.score(X_test, y_test))
    trial.set_user_attr("epochs", 1 + int(np.argmax(curve)))
    trial.set_user_attr("curve", curve)
    return max(curve)


optuna.logging.disable_default_handler()
study = optuna.create_study(
    storage="sqlite:///optuna.db", study_name="epochs", load_if_exists=True, direction="maximize"
)
finished = [trial for trial in study.trials if trial.state.is_finished()]
study.optimize(accuracy, n_trials=12 - len(finished))
print("best parameters", study.best_params, "epochs", study.best_trial.user_attrs["epochs"])
print("accuracy", study.best_value)
