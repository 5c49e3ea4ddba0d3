"""The settings of a command besides those of a study: the database, and how it logs and waits."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The settings of one command, from its options and the environment.

    Attributes
    ----------
    database_url : str or None
        A libpq URL or keyword string; None for the embedded PostgreSQL in `home`.
    home : Path
        Folder of the embedded PostgreSQL.
    log_format : str
        "text" or "json".
    log_level : str
        "debug", "info", "warning" or "error".
    give_up_after : float
        Seconds without the database after which a command ends with an error.
    statement_timeout : float
        Seconds after which the server ends a statement.

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
        """Return the settings with DATABASE_URL and LEDGER_HOME; an empty variable counts as not set."""
        return cls(
            database_url=os.environ.get("DATABASE_URL") or None,
            home=Path(os.environ.get("LEDGER_HOME") or cls.home),
        )
