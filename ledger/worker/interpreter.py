"""The command that runs a module of this package in another Python process."""

import sys


def command(module: str) -> list[str]:
    """Return the beginning of a command line that runs `module`.

    The new Python process searches for modules in `PYTHONPATH` and in the installed packages, but not in the current
    folder. The new process must not run a file that another user has put into the current folder, because the new
    process may know the password of the database.

    Examples
    --------
    >>> command("ledger")[1:]
    ['-P', '-m', 'ledger']
    """
    return [sys.executable, "-P", "-m", module]
