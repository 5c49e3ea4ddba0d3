"""Export of studies to Optuna, import of studies from Optuna, database views for Optuna, and Optuna's dashboard."""

from ledger.optuna.connect import storage

__all__ = ["storage"]
