"""Find one study among 300, with the ledger."""

import ledger

for number in range(300):
    study = ledger.Study(space={"x": (-5.0, 5.0)}, name=f"try-{number}", seed=number, trials=1)
    while trial := study.ask():
        study.tell(trial, (trial.params["x"] - 1) ** 2)
    study.close()
    study.annotate(tags=["paper"] if number % 10 == 7 else ["scratch"])

(found,) = ledger.list_studies(tag="paper", newer="7d", sort="best", limit=1)
result = ledger.load_study(found.name)
print("best parameters", result.best_params)
print("value", result.best_value)
