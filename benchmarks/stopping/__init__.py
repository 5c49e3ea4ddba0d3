"""Early stopping of trainings in simulated time: the regret after equal numbers of epochs, and the verdicts."""
