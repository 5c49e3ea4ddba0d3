"""A study as a document or as files. Every export streams: its memory does not grow with the study."""
