"""Search for five seconds, with the ledger."""

import time

import ledger


def slow(params):
    time.sleep(0.1)
    return (params["x"] - 1) ** 2 + (params["y"] + 2) ** 2


result = ledger.minimize(slow, {"x": (-5.0, 5.0), "y": (-5.0, 5.0)}, trials=10_000, timeout=5, workers=2)
print("best parameters", result.best_params)
print("value", result.best_value)
