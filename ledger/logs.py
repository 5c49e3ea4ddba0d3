"""Log lines: one an event, for people or, as JSON, for machines. They go to standard error."""

import json
import logging
import sys
import time
from typing import Any

from ledger.text import one_line

# Of a message for people; a point of many parameters is shown whole.
_LONGEST = 5_000


def set_up(log_format: str, level: str) -> None:
    """Send this package's events to standard error, as "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    root = logging.getLogger("ledger")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False


def log_event(logger: logging.Logger, event: str, message: str, /, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event.

    Parameters
    ----------
    event : str
        What happened, in a word or two, for machines.
    message : str
        The same for people, in one line.
    **fields
        The facts, JSON values, for machines.
    """
    logger.log(level, "%s", message, extra={"event": event, "fields": fields})


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        room = record.name.removeprefix("ledger.")
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"{moment} {room:<8} {level}{one_line(record.getMessage(), _LONGEST)}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "source": record.name.removeprefix("ledger."),
            "event": getattr(record, "event", "log"),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line, default=str)
