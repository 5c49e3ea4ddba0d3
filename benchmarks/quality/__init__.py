"""The lowest loss after 60 evaluations in batches of 4, paired by seed: `make bench-quality`."""
