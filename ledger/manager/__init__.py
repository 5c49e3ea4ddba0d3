"""The manager, which proposes a study's trials, waits until the trials end, and passes the losses to the optimizer."""
