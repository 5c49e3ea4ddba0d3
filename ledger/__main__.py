"""Entry point for `python -m ledger`, which runs the command `ledger`."""

from ledger.cli import main

main()
