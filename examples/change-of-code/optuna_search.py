"""Edit an objective between two searches, with Optuna."""

import hashlib
import inspect

import optuna

RENT = 1.0


def cost(trial):
    return (trial.suggest_float("size", 0, 9) - 3) ** 2 + RENT * trial.suggest_int("rooms", 1, 9)


def search(n_trials, if_changed="refuse"):
    code = hashlib.sha256(f"{inspect.getsource(cost)} {RENT}".encode()).hexdigest()
    study = optuna.create_study(storage="sqlite:///optuna.db", study_name="flat", load_if_exists=True)
    if study.user_attrs.get("code", code) != code:
        if if_changed == "refuse":
            raise ValueError("the objective of study flat differs from the recorded objective")
        if if_changed == "new":
            name = f"flat-{code[:6]}"
            study = optuna.create_study(storage="sqlite:///optuna.db", study_name=name, load_if_exists=True)
    study.set_user_attr("code", code)
    finished = [trial for trial in study.trials if trial.state.is_finished()]
    study.optimize(cost, n_trials=n_trials - len(finished))
    return study


optuna.logging.disable_default_handler()
search(8)
RENT = 2.0
try:
    search(8)
except ValueError as error:
    print(error)
new = search(8, if_changed="new")
print("another study", new.study_name)
study = search(16, if_changed="accept")
print("best parameters", study.best_params)
print("cost", study.best_value)
