#!/usr/bin/env bash
# Begins a search on a laptop with 2 trials at a time, and continues it on more machines with 8 trials at a time.
# On several machines, DATABASE_URL names the ledger. Without DATABASE_URL, all commands run on this machine.
set -euo pipefail

# On the laptop:
ledger run study.toml --allow valley --trials 8 --workers 2

# On each of the other machines:
ledger worker --study more-machines --allow valley &
ledger worker --study more-machines --allow valley &

# On one machine, which proposes the trials:
ledger resume more-machines --trials 32 --batch-size 8 --workers 0

# At the end, stop the workers:
kill $(jobs -p)
wait
