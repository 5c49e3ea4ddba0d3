"""A study: its specification, the file and options that it is read from, its search space and its points."""
