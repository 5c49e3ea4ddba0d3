"""Reports of a study, as an HTML page of plots that needs no network, or as a PNG image of one plot."""
