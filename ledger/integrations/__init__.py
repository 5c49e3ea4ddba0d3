"""Functions and callbacks that report a metric to the ledger while a library such as XGBoost trains a model.

Each module imports the library of the module. Therefore import only the modules that you need.
"""
