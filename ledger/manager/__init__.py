"""The manager of a study, which proposes trials, waits for their ends, and passes the losses to the optimizer."""
