"""`python -m ledger` is the program `ledger`."""

from ledger.cli import main

main()
