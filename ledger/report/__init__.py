"""A study as a page of plots that needs no network, and each of the plots as a picture."""
