"""Integration with Optuna: views in the form of its tables, export, import, and its dashboard."""

from ledger.optuna.connect import storage

__all__ = ["storage"]
