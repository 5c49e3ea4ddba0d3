"""Displays for notebooks, as HTML that needs no script and loads nothing."""
