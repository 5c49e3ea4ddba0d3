"""Output for a terminal: the live view of a study, and its parts. The library rich is imported only to draw."""
