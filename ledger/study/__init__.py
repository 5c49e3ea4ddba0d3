"""A study's specification, search space and points, which are read from a file and from options."""
