"""The live view: a study's status drawn anew, about every second, for as long as a command runs."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from ledger.database.connection import Unreachable, engine, reason
from ledger.database.status import Status
from ledger.database.store import Store
from ledger.errors import LedgerError
from ledger.logs import log_event

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

_log = logging.getLogger("ledger.terminal")

INTERVAL = 1.0
# Reading takes at most this share of the time, however large the study: the database is the search's, not the view's.
SHARE = 0.05
# Of what workers say: bytes that are read at once, and seconds between.
_CHUNK = 65_536
_WRITE_INTERVAL = 0.05
# What a view that is no longer wanted may take to end.
_LEAVE_SECONDS = 1.0


def can_draw(stream: TextIO) -> bool:
    """Return whether the stream is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def console(stream: TextIO) -> "Console":
    """Return a rich console: colours on a terminal alone, and none where NO_COLOR is set."""
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
    """Return a live display that is drawn when it is told to; what goes to standard error appears above it."""
    from rich.live import Live

    return Live(console=on, auto_refresh=False, transient=transient, redirect_stdout=False, vertical_overflow="crop")


def follow(read: Callable[[], Status], wait: Callable[[float], object]) -> Iterator[Status]:
    """Yield a study's status until it has ended, or until `wait`, which is given seconds, answers something true."""
    while True:
        began = time.monotonic()
        status = read()
        yield status
        if status.has_ended or wait(pause(time.monotonic() - began)):
            return


def pause(took: float) -> float:
    """Return the seconds until the next reading, where one took so many."""
    return max(INTERVAL, took / SHARE)


class View:
    """The live view beside a manager: it reads on a connection and in a thread of its own.

    Nothing that goes wrong here ends the study: while the database is away the view says so, and where it cannot be
    drawn it ends, and the log lines come back in its place. While it is drawn, the manager's lines, which would say
    what it shows, are left out below a warning.

    Parameters
    ----------
    url : str
        The database.
    study_id : int
    statement_seconds : float
        After which the server gives up a reading.
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
        self._last: Status | None = None
        self._read_at = time.monotonic()
        self._output: int | None = None
        self._live: Live | None = None
        self._threads: list[threading.Thread] = []

    @property
    def output(self) -> int:
        """A file descriptor for what other processes have to say, a line at a time; it appears above the picture."""
        assert self._output is not None
        return self._output

    def __enter__(self) -> "View":
        reading, self._output = os.pipe()
        self._threads = [
            threading.Thread(target=self._pass_on, args=(reading,), name="output", daemon=True),
            threading.Thread(target=self._run, name="view", daemon=True),
        ]
        logging.getLogger("ledger.manager").setLevel(logging.WARNING)
        try:
            self._live = live(console(self._stream), transient=True)
            self._live.start()
            # what stands in place of standard error while it is drawn
            _log_to(sys.stderr)
        except Exception as error:
            self._give_up(error)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.output)
        self._ended.set()
        for thread in self._threads:
            # a reading in which the database does not answer is not waited for
            thread.join(_LEAVE_SECONDS)
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
            self._give_up(error)
        finally:
            self._close()

    def _read(self) -> str:
        """Read the status, or return why there is none newer."""
        import psycopg
        from sqlalchemy.exc import DBAPIError

        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            self._last = Store(self._connection).status(self._study_id)
        except (DBAPIError, psycopg.Error, Unreachable) as error:
            self._close()
            ago = int(time.monotonic() - self._read_at)
            return f"as it was {ago} s ago, since the database does not answer: {reason(getattr(error, 'orig', error))}"
        except LedgerError:
            # the study was deleted, which its manager says
            self._ended.set()
        self._read_at = time.monotonic()
        return ""

    def _draw(self, note: str) -> None:
        from rich.text import Text

        from ledger.terminal.picture import Picture

        with self._drawing:
            if self._live is None or self._ended.is_set():
                return
            picture = Text(note, "yellow") if self._last is None else Picture(self._last, note=note)
            self._live.update(picture, refresh=True)

    def _pass_on(self, reading: int) -> None:
        """Write what other processes say to standard error, which is above the picture while that is drawn."""
        rest = b""
        while chunk := os.read(reading, _CHUNK):
            lines, end, rest = (rest + chunk).rpartition(b"\n")
            if len(rest) > _CHUNK:
                lines, end, rest = lines + end + rest, b"\n", b""
            if end:
                _write(lines + end)
            # each writing draws the picture anew: an objective that prints much is not to keep this process busy
            self._ended.wait(_WRITE_INTERVAL)
        if rest:
            _write(rest + b"\n")
        os.close(reading)

    def _give_up(self, error: Exception) -> None:
        self._ended.set()
        self._stop()
        why = f"{type(error).__name__}: {error}"
        log_event(_log, "view", f"the live view ended, the study goes on: {why}", level=logging.WARNING, reason=why)

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


def _write(said: bytes) -> None:
    with suppress(Exception):
        sys.stderr.write(said.decode(errors="backslashreplace"))
        sys.stderr.flush()


def _log_to(stream: TextIO) -> None:
    for handler in logging.getLogger("ledger").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(stream)
