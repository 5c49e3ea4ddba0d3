"""Hyper-parameter search with scikit-learn's interface."""

from ledger.sklearn.search import LedgerSearchCV

__all__ = ["LedgerSearchCV"]
