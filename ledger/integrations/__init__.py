"""Functions and callbacks for libraries such as XGBoost, which report a metric to the ledger during the training.

Each module imports the library that it supports, so import only the modules that you need.
"""
