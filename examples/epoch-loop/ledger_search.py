"""Search the parameters of a linear classifier that trains in epochs, with the ledger."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

import ledger

X_train, X_test, y_train, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)


@ledger.objective(space={"alpha": (1e-6, 1e-1, "log-uniform"), "rate": (1e-4, 1.0, "log-uniform")})
def accuracy(params, context):
    model = SGDClassifier(
        alpha=params["alpha"], learning_rate="constant", eta0=params["rate"], random_state=context.seed
    )
    curve = []
    for _ in range(10):
        model.partial_fit(X_train, y_train, classes=np.arange(10))
        curve.append(model.score(X_test, y_test))
    return {"value": max(curve), "epochs": 1 + int(np.argmax(curve)), "curve": curve}


result = ledger.maximize(accuracy, trials=12, workers=2)
print("best parameters", result.best_params, "epochs", result.best_trial.metrics["epochs"])
print("accuracy", result.best_value)
