"""What a person is told: one line that names the thing, the place and the way out."""


class LedgerError(Exception):
    """The request is right but cannot be done in this state. Exit code 1."""

    exit_code = 1


class UsageError(LedgerError):
    """The request itself is wrong. Exit code 2; nothing was written."""

    exit_code = 2
