"""Optuna and the ledger: views that Optuna reads as its own tables, export, import, and its dashboard."""

from ledger.optuna.connect import storage

__all__ = ["storage"]
