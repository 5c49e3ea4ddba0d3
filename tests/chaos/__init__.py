"""Chaos test: a study that runs while its processes, its database and its network fail."""
