"""Settings of a command, such as the database, the log and the time limits."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

# Name of the folder of an embedded server.
HOME = ".ledger"
# Environment variable that names the store of artifacts.
STORE_VARIABLE = "LEDGER_STORE"
# `ledgers_below` searches at most `_MOST_FOLDERS` folders, and returns at most `_MOST_LEDGERS` ledgers.
_MOST_FOLDERS, _MOST_LEDGERS = 1_000, 5

Origin = Literal["variable", "current", "parent", "new"]


@dataclass(frozen=True)
class FoundHome:
    """The result of `find_home`: the folder of the embedded server, and the reason why `find_home` chose the folder.

    Attributes
    ----------
    folder : Path
    origin : {"variable", "current", "parent", "new"}
        "variable" means that the environment variable LEDGER_HOME names the folder. "current" means that the server's
        folder is in the current folder. "parent" means that the server's folder is in a folder above the current
        folder. If several folders of servers are above the current folder, `folder` is the nearest folder. "new" means
        that no folder of a server exists yet.
    """

    folder: Path
    origin: Origin


def find_home() -> FoundHome:
    """Find the folder of the embedded server in the current folder, or in a folder above the current folder.

    A server's folder above the current folder must belong to the user of this process. No other user may have
    permission to write to the server's folder. Otherwise, the function ignores the server's folder. Without the check
    of the owner, this process could use a ledger that belongs to another user.
    """
    if named := os.environ.get("LEDGER_HOME"):
        return FoundHome(Path(named), "variable")
    here = Path(HOME)
    if os.path.lexists(here):
        return FoundHome(here, "current")
    try:
        above = Path.cwd().parents
    except OSError:  # The current folder was deleted.
        above = Path().parents
    for parent in above:
        if _is_own(parent / HOME):
            return FoundHome(parent / HOME, "parent")
    return FoundHome(here, "new")


def ledgers_below(folder: Path) -> list[Path]:
    """Search for ledgers in the two levels of folders below `folder`. Return at most `_MOST_LEDGERS` ledgers."""
    folders = [*_folders(folder)]
    folders += [inner for outer in folders[:_MOST_FOLDERS] for inner in islice(_folders(outer), _MOST_FOLDERS)]
    found = (each / HOME for each in folders[:_MOST_FOLDERS] if _is_own(each / HOME))
    return list(islice(found, _MOST_LEDGERS))


def _is_own(home: Path) -> bool:
    try:
        found = home.lstat()
        is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
        return is_own and (home / "data").is_dir()
    except OSError:
        return False


def _folders(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in islice(entries, 10 * _MOST_FOLDERS) if _is_folder(entry))
    except OSError:
        return
    yield from (folder / name for name in names if not name.startswith("."))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


@dataclass(frozen=True)
class Settings:
    """The settings that the commands share, such as the database and the time limits.

    Command-line options and environment variables define the values of the settings.

    Attributes
    ----------
    database_url : str or None
        The database, as a libpq URL or keyword string. None selects the embedded PostgreSQL server in the folder
        `home`.
    home : Path
        Folder of the embedded PostgreSQL server.
    log_format : str
        "text" or "json".
    log_level : str
        "debug", "info", "warning" or "error".
    give_up_after : float
        Number of seconds for which the database may be unavailable before a command ends with an error.
    statement_timeout : float
        Time limit for one SQL statement, in seconds.
    store : str or None
        Place of the contents of artifacts: a folder, a URL or the word "ledger". None selects the default place
        (`ledger.store.chosen`).

    Examples
    --------
    >>> Settings(home=Path("/data/ledger")).statement_timeout
    10.0
    """

    database_url: str | None = None
    home: Path = Path(HOME)
    log_format: str = "text"
    log_level: str = "info"
    give_up_after: float = 30.0
    statement_timeout: float = 10.0
    store: str | None = None

    @classmethod
    def from_environment(cls) -> "Settings":
        """Return settings with the values of the variables DATABASE_URL and LEDGER_STORE, and with the folder that
        `find_home` returns.

        An empty environment variable has the same effect as an unset variable.
        """
        return cls(
            database_url=os.environ.get("DATABASE_URL") or None,
            home=find_home().folder,
            store=os.environ.get(STORE_VARIABLE) or None,
        )


def settings_of(database: str | None) -> Settings:
    """Return the settings from the environment variables. The argument `database` replaces the database URL of the
    environment.
    """
    settings = Settings.from_environment()
    return settings if database is None else replace(settings, database_url=database)
