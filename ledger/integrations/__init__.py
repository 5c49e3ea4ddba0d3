"""Functions and callbacks that report a metric of a training with a library such as XGBoost to the ledger.

Each module imports the library that it supports, so import only the modules that you need.
"""
