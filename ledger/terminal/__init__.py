"""Draws the live view of a study on a terminal. The package imports the library `rich` only for the live view."""
