"""Exports of a study as a document or as files.

An export reads and writes a study in small parts. Therefore a large study does not need more memory than a small study.
"""
