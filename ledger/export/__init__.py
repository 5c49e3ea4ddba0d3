"""Exports of a study as a document or as files.

An export reads and writes a study in small parts. Therefore the export of a large study needs no more memory than the
export of a small study.
"""
