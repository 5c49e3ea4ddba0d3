"""The soak: a study that is carried on while its processes, its database and its network fail."""
