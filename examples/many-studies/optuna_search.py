"""Find one study among 300, with Optuna."""

from datetime import datetime, timedelta

import optuna

optuna.logging.disable_default_handler()
storage = "sqlite:///optuna.db"
for number in range(300):
    study = optuna.create_study(
        storage=storage,
        study_name=f"try-{number}",
        sampler=optuna.samplers.RandomSampler(seed=number),
        load_if_exists=True,
    )
    if not study.trials:
        study.optimize(lambda trial: (trial.suggest_float("x", -5, 5) - 1) ** 2, n_trials=1)
    study.set_user_attr("tags", ["paper"] if number % 10 == 7 else ["scratch"])

week_ago = datetime.now() - timedelta(days=7)
summaries = [
    summary
    for summary in optuna.get_all_study_summaries(storage)
    if "paper" in summary.user_attrs["tags"] and summary.datetime_start and summary.datetime_start > week_ago
]
found = min(summaries, key=lambda summary: summary.best_trial.value)
result = optuna.load_study(storage=storage, study_name=found.study_name)
print("best parameters", result.best_params)
print("value", result.best_value)
