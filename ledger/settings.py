"""Where the ledger is and how it speaks: environment and options as one frozen object."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """What a command needs to know before it meets a study.

    Attributes
    ----------
    database_url : str or None
        A libpq URL or keyword string; None for the embedded PostgreSQL of `home`.
    home : Path
        Folder of the embedded PostgreSQL.
    log_format : str
        "text" or "json".
    log_level : str
        "debug", "info", "warning" or "error".
    give_up_after : float
        Seconds without the database after which a command ends.
    statement_timeout : float
        Seconds after which the server gives up a statement.
    """

    database_url: str | None = None
    home: Path = Path(".ledger")
    log_format: str = "text"
    log_level: str = "info"
    give_up_after: float = 30.0
    statement_timeout: float = 10.0

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read DATABASE_URL and LEDGER_HOME; an empty value counts as none."""
        return cls(
            database_url=os.environ.get("DATABASE_URL") or None,
            home=Path(os.environ.get("LEDGER_HOME") or cls.home),
        )
