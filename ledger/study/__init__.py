"""The specification, the search space and the points of a study."""
