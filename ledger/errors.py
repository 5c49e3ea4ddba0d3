"""Exceptions whose message is shown to the user: one line with the thing, the place and the way out."""


class LedgerError(Exception):
    """A valid request cannot be fulfilled in the current state. A command ends with exit code 1."""

    exit_code = 1


class UsageError(LedgerError):
    """The request is invalid, and nothing was written. A command ends with exit code 2."""

    exit_code = 2
