"""Reports of a study, as a page of plots that works without a network or as an image of one plot."""
