"""Callbacks and loops that report the progress of trainings with other libraries.

The module of a library imports this library, so import only the modules that you need.
"""
