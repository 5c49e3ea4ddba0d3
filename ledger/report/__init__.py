"""Reports of a study. A report is a PNG image of one plot, or an HTML page that needs no network."""
