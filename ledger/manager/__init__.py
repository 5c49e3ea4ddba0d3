"""The manager of a study. The manager proposes trials, waits until the trials end, and passes the losses to the
optimizer.
"""
