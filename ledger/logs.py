"""Functions that write log events to standard error. Each log event is one line of text or of JSON."""

import json
import logging
import sys
import time
from typing import Any

from ledger.text import one_line

# Largest number of characters in a log message in the text format. The maximum length is large, because a message may
# contain the values of many parameters.
_LONGEST = 5_000


def set_up(log_format: str, level: str) -> None:
    """Write the log events of this package to standard error.

    Parameters
    ----------
    log_format : str
        "text" or "json".
    level : str
        "debug", "info", "warning" or "error". The program writes the log events whose level is equal to `level` or
        higher.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    root = logging.getLogger("ledger")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False


def log_event(logger: logging.Logger, event: str, message: str, /, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event.

    Parameters
    ----------
    logger : logging.Logger
        The logger that receives the event.
    event : str
        The kind of the event, in one or two words. Programs that read the log use `event`.
    message : str
        A description of the event in one line. Users who read the log use `message`.
    level : int
        Log level of the event, such as `logging.INFO`.
    **fields
        Details of the event as JSON values. Programs that read the log use the details.
    """
    logger.log(level, "%s", message, extra={"event": event, "fields": fields})


class _TextFormatter(logging.Formatter):
    """A log formatter that writes each log record as one line of text."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        source = record.name.removeprefix("ledger.")
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"{moment} {source:<8} {level}{one_line(record.getMessage(), _LONGEST)}"


class _JsonFormatter(logging.Formatter):
    """A log formatter that writes each log record as one line of JSON."""

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
