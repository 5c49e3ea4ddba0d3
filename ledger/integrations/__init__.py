"""Functions and callbacks that report a metric to the ledger while a library such as XGBoost trains a model.

Each module imports one library. For example, the module `ledger.integrations.xgboost` imports XGBoost. Therefore
import only the module for the library that you use.
"""
