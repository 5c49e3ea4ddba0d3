"""Imports of finished trials from other programs as observations, and of a whole study from another ledger."""
