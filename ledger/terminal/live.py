"""The live view, which shows a study's status on a terminal. The view updates the status about once per second."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from ledger.database import status
from ledger.database.connection import ServerUnreachable, engine, reason
from ledger.database.status import StudyStatus
from ledger.errors import LedgerError
from ledger.logs import log_event

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

_log = logging.getLogger("ledger.terminal")

INTERVAL = 1.0
# The live view spends at most the share `SHARE` of its time on reads from the database. More frequent reads could slow
# down the manager and the workers.
SHARE = 0.05
# The largest number of bytes that the live view reads from the workers' output at once.
_CHUNK = 65_536
# Minimum number of seconds between two writes of the workers' output to the terminal.
_WRITE_INTERVAL = 0.05
# When a live view ends, the view waits for each of its threads to end. The view waits at most `_STOP_SECONDS` seconds
# for each thread.
_STOP_SECONDS = 1.0


def can_draw(stream: TextIO) -> bool:
    """Return whether the stream is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def console(stream: TextIO) -> "Console":
    """Return a rich console. The console uses colours only on a terminal, and only if NO_COLOR is not set."""
    from rich.console import Console

    is_terminal = can_draw(stream)
    return Console(
        file=stream,
        force_terminal=is_terminal,
        force_interactive=is_terminal,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )


def live(on: "Console", *, transient: bool) -> "Live":
    """Return a `Live` display of the library `rich`, without automatic redraws.

    Output to standard error appears above the display.
    """
    from rich.live import Live

    return Live(console=on, auto_refresh=False, transient=transient, redirect_stdout=False, vertical_overflow="crop")


def follow(read: Callable[[], StudyStatus], wait: Callable[[float], object]) -> Iterator[StudyStatus]:
    """Yield a study's status at intervals until the study has ended.

    Parameters
    ----------
    read : callable
        Function that reads and returns the status.
    wait : callable
        Function that waits for a number of seconds. If `wait` returns a true value, the generator yields no further
        status.
    """
    while True:
        began = time.monotonic()
        status = read()
        yield status
        if status.has_ended or wait(pause(time.monotonic() - began)):
            return


def pause(took: float) -> float:
    """Return the number of seconds to wait after a read of the status. The read lasted `took` seconds."""
    return max(INTERVAL, took / SHARE)


class LiveView:
    """A view that shows the status of a study on a terminal while the study's manager runs.

    The view has its own threads and its own database connection.

    A failure of the view does not end the study. If the database is unavailable, the view informs the user. If the
    program cannot draw the view, the view ends, and the terminal shows the manager's log lines again. While the view is
    drawn, the manager logs only warnings and errors, because the view shows all other events.

    Parameters
    ----------
    url : str
        The URL of the database.
    study_id : int
    statement_seconds : float
        Seconds after which the server cancels a query that the view sends.
    stream : text stream
        The terminal.
    """

    def __init__(self, url: str, study_id: int, statement_seconds: float, stream: TextIO) -> None:
        self._stderr = sys.stderr
        self._engine = engine(url, "ledger view", statement_seconds=statement_seconds)
        self._study_id, self._stream = study_id, stream
        self._ended = threading.Event()
        self._drawing = threading.Lock()
        self._connection: Any = None
        self._last: StudyStatus | None = None
        self._read_at = time.monotonic()
        self._output: int | None = None
        self._live: Live | None = None
        self._threads: list[threading.Thread] = []

    @property
    def output(self) -> int:
        """File descriptor to which the workers write their output. The output appears above the view in whole lines."""
        assert self._output is not None
        return self._output

    def __enter__(self) -> "LiveView":
        reading, self._output = os.pipe()
        self._threads = [
            threading.Thread(target=self._copy_output, args=(reading,), name="output", daemon=True),
            threading.Thread(target=self._run, name="view", daemon=True),
        ]
        logging.getLogger("ledger.manager").setLevel(logging.WARNING)
        try:
            self._live = live(console(self._stream), transient=True)
            self._live.start()
            # When the live display starts, the library `rich` replaces sys.stderr. If the program writes the log lines
            # to the new sys.stderr, the log lines appear above the live view.
            _log_to(sys.stderr)
        except Exception as error:
            self._abort(error)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.output)
        self._ended.set()
        for thread in self._threads:
            # `join` has a time limit, because the thread may be waiting for a database that does not answer.
            thread.join(_STOP_SECONDS)
        self._stop()

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                began = time.monotonic()
                note = self._read()
                self._draw(note)
                if self._ended.wait(pause(time.monotonic() - began)):
                    break
        except Exception as error:
            self._abort(error)
        finally:
            self._close()

    def _read(self) -> str:
        """Read the study's status. Return an empty text if the read was successful. If the read failed, return the
        reason of the failure.
        """
        import psycopg
        from sqlalchemy.exc import DBAPIError

        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            self._last = status.read(self._connection, self._study_id)
        except (DBAPIError, psycopg.Error, ServerUnreachable) as error:
            self._close()
            ago = int(time.monotonic() - self._read_at)
            why = reason(getattr(error, "orig", error))
            return f"status {ago} s old, because the database does not answer: {why}"
        except LedgerError:
            # If a user has deleted the study, `status.read` raises a LedgerError. The live view shows no message about
            # the deletion of a study, because the study's manager shows this message.
            self._ended.set()
        self._read_at = time.monotonic()
        return ""

    def _draw(self, note: str) -> None:
        from rich.text import Text

        from ledger.terminal.panel import StatusPanel

        with self._drawing:
            if self._live is None or self._ended.is_set():
                return
            panel = Text(note, "yellow") if self._last is None else StatusPanel(self._last, note=note)
            self._live.update(panel, refresh=True)

    def _copy_output(self, reading: int) -> None:
        """Copy the workers' output to standard error. The copied output appears above the live view."""
        rest = b""
        while chunk := os.read(reading, _CHUNK):
            lines, end, rest = (rest + chunk).rpartition(b"\n")
            if len(rest) > _CHUNK:
                lines, end, rest = lines + end + rest, b"\n", b""
            if end:
                _write(lines + end)
            # Each time the live view copies the workers' output to the terminal, the library `rich` redraws the live
            # view. If an objective prints many lines, the pause between two writes prevents a separate redraw for each
            # line.
            self._ended.wait(_WRITE_INTERVAL)
        if rest:
            _write(rest + b"\n")
        os.close(reading)

    def _abort(self, error: Exception) -> None:
        self._ended.set()
        self._stop()
        why = f"{type(error).__name__}: {error}"
        message = f"the live view ended, but the study continues: {why}"
        log_event(_log, "view", message, level=logging.WARNING, reason=why)

    def _stop(self) -> None:
        with self._drawing, ExitStack() as undone:
            undone.callback(logging.getLogger("ledger.manager").setLevel, logging.NOTSET)
            undone.callback(_log_to, self._stderr)
            if self._live is not None:
                with suppress(Exception):
                    self._live.stop()
                self._live = None
                sys.stderr = self._stderr

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None


def _write(output: bytes) -> None:
    with suppress(Exception):
        sys.stderr.write(output.decode(errors="backslashreplace"))
        sys.stderr.flush()


def _log_to(stream: TextIO) -> None:
    for handler in logging.getLogger("ledger").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(stream)
