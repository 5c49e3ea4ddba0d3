"""Exports of a study as a document or as files. Exports stream, so their memory use does not grow with the study."""
