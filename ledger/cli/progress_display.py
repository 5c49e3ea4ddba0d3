"""Shows the progress of a running search as a live view or as log lines, and prints the result of the search."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from ledger.cli import outcome
from ledger.database.connection import engine
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError
from ledger.search import LocalWorkerSettings, SearchObserver, failure
from ledger.settings import Settings
from ledger.terminal.live import LiveView, can_draw


class ProgressDisplay(SearchObserver):
    """An observer that shows the progress of a search on standard error.

    If standard error is a terminal and the log format is text, the class draws a live view. Without a live view, the
    search writes log lines to standard error.

    Attributes
    ----------
    has_started : bool
        Whether the search has run the study. A search does not run a study that has already ended.
    """

    def __init__(self, settings: Settings) -> None:
        self.has_started = False
        self._statement_seconds = settings.statement_timeout
        self._log = (settings.log_format, settings.log_level)
        self._is_drawn = can_draw(sys.stderr) and settings.log_format == "text"
        self._view: LiveView | None = None

    @property
    def worker_options(self) -> list[str]:
        """The command-line options that set the log format and the log level of the workers.

        While a live view runs, the workers log only warnings and errors.
        """
        log_format, level = self._log
        return ["--log-format", log_format, "--log-level", "warning" if self._is_drawn else level]

    def started(self, url: str, study: StudyRow) -> None:
        """Begin to draw the view."""
        self.has_started = True
        if self._is_drawn:
            self._view = LiveView(url, study.id, self._statement_seconds, sys.stderr)
            self._view.__enter__()

    @property
    def worker_output(self) -> int:
        """The file descriptor to which the workers write their output and log lines.

        The workers' output appears above the live view. Without a live view, the workers' output appears on standard
        error. Standard output contains only the outcome of the study.
        """
        return 2 if self._view is None else self._view.output

    def stopped(self) -> None:
        """Remove the view."""
        if self._view is not None:
            self._view.__exit__(None, None, None)


def local(
    count: int,
    allowed: Collection[str],
    commands: Collection[str],
    display: ProgressDisplay,
    trainer_user: str | None,
) -> LocalWorkerSettings:
    """Return a `LocalWorkerSettings`, which describes the workers that the search starts on this machine.

    The workers get the options ``display.worker_options``. If `trainer_user` is not None, the workers also get the
    option --trainer-user.
    """
    user = [] if trainer_user is None else ["--trainer-user", trainer_user]
    return LocalWorkerSettings(count, allowed, commands, options=[*display.worker_options, *user])


@contextmanager
def best_so_far(url: str, settings: Settings, study: str) -> Iterator[None]:
    """If the user interrupts the ``with`` block, print the best trial of the study before the block ends."""
    try:
        yield
    except KeyboardInterrupt:
        # The function ignores errors here, because the database may be unavailable, or the user may press Ctrl-C again.
        with suppress(Exception, KeyboardInterrupt):
            opened = engine(url, "ledger command", statement_seconds=settings.statement_timeout)
            with opened.connect() as connection:
                outcome.show_best(connection, study)
        raise


def end(url: str, settings: Settings, row: StudyRow) -> None:
    """Print the outcome of a study.

    Raises
    ------
    StudyFailedError
        The study has failed.
    LedgerError
        The study was cancelled.
    """
    with engine(url, "ledger command", statement_seconds=settings.statement_timeout).connect() as connection:
        outcome.show(connection, row)
        if row.state == "cancelled":
            raise LedgerError(f"study {row.name} is cancelled")
        if row.state == "failed":
            way_out = f"correct the cause, and run `ledger resume {row.name}`, which tries one more round of trials"
            raise failure(connection, row, f"study {row.name} is failed: {way_out}")
