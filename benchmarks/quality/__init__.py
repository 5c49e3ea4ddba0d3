"""Quality of searches: the lowest loss after 60 evaluations in batches of 4, paired by seed."""
