"""Reports of a study. A report is an HTML page of plots that needs no network, or a PNG image of one plot."""
