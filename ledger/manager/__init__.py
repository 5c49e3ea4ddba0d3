"""The manager of a study, which proposes trials, waits until the trials end, and passes the losses to the optimizer."""
