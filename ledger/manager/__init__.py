"""The manager, which proposes the trials of a study, waits for their ends, and passes their losses to the optimizer."""
