"""Integration with Optuna by an export, an import, views in the form of Optuna's tables, and Optuna's dashboard."""

from ledger.optuna.connect import storage

__all__ = ["storage"]
