"""Imports finished trials of other programs as observations, or a whole study of another ledger."""
