"""Maximise a profit, with the ledger."""

import ledger


def profit(params):
    sold = 1000 - 8 * params["price"] + 3 * params["advertising"] ** 0.5
    return (params["price"] - 20) * sold - params["advertising"]


result = ledger.maximize(profit, {"price": (20.0, 120.0), "advertising": (0, 5000)}, trials=16, workers=2)
print("best parameters", result.best_params)
print("profit", result.best_value)
