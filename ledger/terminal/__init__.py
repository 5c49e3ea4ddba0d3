"""Draws the live view of a study on a terminal. The library rich is imported only to draw the view."""
