"""Search choices that are None and tuples, with Optuna, for which each tuple needs a name."""

import optuna
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

X, y = load_wine(return_X_y=True)
LAYERS = {"8": (8,), "16": (16,), "16, 8": (16, 8)}


def score(trial):
    layers = LAYERS[trial.suggest_categorical("layers", list(LAYERS))]
    quantiles = trial.suggest_categorical("quantiles", [None, 20, 100])
    scaler = StandardScaler() if quantiles is None else QuantileTransformer(n_quantiles=quantiles)
    alpha = trial.suggest_float("alpha", 1e-5, 1.0, log=True)
    model = MLPClassifier(layers, alpha=alpha, solver="lbfgs", max_iter=150, random_state=0)
    return cross_val_score(make_pipeline(scaler, model), X, y, cv=3).mean()


optuna.logging.disable_default_handler()
study = optuna.create_study(
    storage="sqlite:///optuna.db", study_name="layers", load_if_exists=True, direction="maximize"
)
finished = [trial for trial in study.trials if trial.state.is_finished()]
study.optimize(score, n_trials=10 - len(finished))
print("best parameters", study.best_params)
print("accuracy", study.best_value)
