"""HTML displays for notebooks. The HTML contains no scripts, and loads no files from the network."""
