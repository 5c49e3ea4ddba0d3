"""Callbacks and loops that report the progress of trainings with other libraries.

Each module imports the library that it supports, so import only the modules that you need.
"""
