"""Compare two searches of one objective, with the ledger."""

import ledger


def valley(params):
    return 100 * (params["y"] - params["x"] ** 2) ** 2 + (1 - params["x"]) ** 2


for surrogate in ("GP", "RF"):
    space, options = {"x": (-2.0, 2.0), "y": (-1.0, 3.0)}, {"base_estimator": surrogate}
    ledger.minimize(valley, space, trials=24, workers=2, name=f"valley-{surrogate}", optimizer=options)
comparison = ledger.compare("valley-GP", "valley-RF")
comparison.write_html("comparison.html")
print("best parameters", comparison.best.best_params)
print("value", comparison.best.best_value)
