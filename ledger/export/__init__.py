"""Exports of a study as a document or as files. An export streams, so its memory does not grow with the study."""
