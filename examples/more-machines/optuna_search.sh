#!/usr/bin/env bash
# Begins a search on a laptop with 2 trials at a time, and continues it on more machines with 8 trials at a time.
# On several machines, the storage in optuna_search.py must be a server such as PostgreSQL.
set -euo pipefail

# On the laptop:
python optuna_search.py 8

# On each of the other machines:
python optuna_search.py 32 &
python optuna_search.py 32 &
python optuna_search.py 32 &
python optuna_search.py 32 &
wait
