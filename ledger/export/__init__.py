"""Exports of a study as a document or as files.

An export reads and writes the study in small parts, so the memory use does not grow with the size of the study.
"""
