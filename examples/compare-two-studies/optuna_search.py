"""Compare two searches of one objective, with Optuna."""

import optuna


def valley(trial):
    x, y = trial.suggest_float("x", -2, 2), trial.suggest_float("y", -1, 3)
    return 100 * (y - x**2) ** 2 + (1 - x) ** 2


optuna.logging.disable_default_handler()
studies = []
for sampler in (optuna.samplers.TPESampler(seed=1), optuna.samplers.RandomSampler(seed=1)):
    study = optuna.create_study(
        storage="sqlite:///optuna.db", study_name=type(sampler).__name__, sampler=sampler, load_if_exists=True
    )
    finished = [trial for trial in study.trials if trial.state.is_finished()]
    study.optimize(valley, n_trials=24 - len(finished))
    studies.append(study)
optuna.visualization.plot_optimization_history(studies).write_html("comparison.html")
best = min(studies, key=lambda study: study.best_value)
print("best parameters", best.best_params)
print("value", best.best_value)
