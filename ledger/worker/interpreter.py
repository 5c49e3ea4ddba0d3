"""The command that runs a module of this package in another Python process."""

import sys


def command(module: str) -> list[str]:
    """Return the first arguments of a command line that runs `module`.

    The new Python process searches for modules in `PYTHONPATH` and in the installed packages, but not in the current
    folder. Another user could put a file into the current folder. The new process must not run the other user's file,
    because the new process may know the password of the database.

    Examples
    --------
    >>> command("ledger")[1:]
    ['-P', '-m', 'ledger']
    """
    return [sys.executable, "-P", "-m", module]
