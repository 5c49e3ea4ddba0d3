"""Edit an objective between two searches, with the ledger."""

import ledger

RENT = 1.0


def cost(params):
    return (params["size"] - 3) ** 2 + RENT * params["rooms"]


def search(**options):
    return ledger.minimize(cost, {"size": (0.0, 9.0), "rooms": (1, 9)}, workers=2, name="flat", **options)


search(trials=8)
RENT = 2.0
try:
    search(trials=8)
except ledger.LedgerError as error:
    print(error)
new = search(trials=8, if_changed="new")
print("another study", new.name)
result = search(trials=16, if_changed="accept")
print("best parameters", result.best_params)
print("cost", result.best_value)
