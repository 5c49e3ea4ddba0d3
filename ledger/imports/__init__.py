"""Imports from elsewhere: finished trials as observations, or a whole study."""
