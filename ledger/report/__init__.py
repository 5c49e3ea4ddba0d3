"""Reports of a study: a page of plots that needs no network, and each plot as an image."""
