"""Reads a study's specification, search space and points from files and options."""
