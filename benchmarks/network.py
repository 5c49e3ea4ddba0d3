"""The objective of `benchmarks.mlp`, which workers load with `--allow benchmarks`."""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale

from ledger.integrations.sklearn import fit_in_epochs

if TYPE_CHECKING:
    from ledger import Context

EPOCHS = 27


@cache
def rows() -> tuple[np.ndarray[Any, Any], ...]:
    """Return the digits of scikit-learn, divided into training and validation rows.

    All studies have the same validation rows, so their losses can be compared.
    """
    X, y = load_digits(return_X_y=True)
    return tuple(train_test_split(scale(X), y, random_state=0, stratify=y))


def network(params: dict[str, Any], context: "Context") -> float:
    """Train a neural network in epochs. Returns the log loss on the validation rows after the last epoch."""
    X, X_valid, y, y_valid = rows()
    model = MLPClassifier(
        hidden_layer_sizes=(params["units"],),
        learning_rate_init=params["rate"],
        alpha=params["decay"],
        batch_size=params["batch"],
        random_state=context.seed,
    )
    return fit_in_epochs(
        model, X, y, context, epochs=EPOCHS, score=lambda fitted: log_loss(y_valid, fitted.predict_proba(X_valid))
    )
