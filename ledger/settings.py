"""Settings of a command, such as the database, the log and the time limits, but not the settings of a study."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The settings that the commands share, such as the database and the time limits.

    The values are from options and from environment variables.

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

    Examples
    --------
    >>> Settings(home=Path("/data/ledger")).statement_timeout
    10.0
    """

    database_url: str | None = None
    home: Path = Path(".ledger")
    log_format: str = "text"
    log_level: str = "info"
    give_up_after: float = 30.0
    statement_timeout: float = 10.0

    @classmethod
    def from_environment(cls) -> "Settings":
        """Return settings with the values of the environment variables DATABASE_URL and LEDGER_HOME.

        An empty environment variable counts as unset.
        """
        return cls(
            database_url=os.environ.get("DATABASE_URL") or None,
            home=Path(os.environ.get("LEDGER_HOME") or cls.home),
        )
