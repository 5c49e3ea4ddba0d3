"""Shows a running search in a live view or in log lines, and then prints the outcome."""

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
    """Shows the progress of a search on standard error.

    If standard error is a terminal and the log format is text, the class draws a live view. Without a live view, the
    search writes log lines to standard error.
    """

    def __init__(self, settings: Settings) -> None:
        self._statement_seconds = settings.statement_timeout
        self._log = (settings.log_format, settings.log_level)
        self._is_drawn = can_draw(sys.stderr) and settings.log_format == "text"
        self._view: LiveView | None = None

    @property
    def worker_options(self) -> list[str]:
        """Command-line options for the workers' log. During a live view, workers log only warnings and errors."""
        log_format, level = self._log
        return ["--log-format", log_format, "--log-level", "warning" if self._is_drawn else level]

    def started(self, url: str, study: StudyRow) -> None:
        """Begin to draw the view."""
        if self._is_drawn:
            self._view = LiveView(url, study.id, self._statement_seconds, sys.stderr)
            self._view.__enter__()

    @property
    def worker_output(self) -> int:
        """File descriptor of the workers' output and log lines, which appear above the live view or on standard error.

        The command writes only the outcome of the study to standard output.
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
    """Return a `LocalWorkerSettings`, which describes the workers to start on this machine.

    The workers get the log options of the argument `display`, and the option --trainer-user if `trainer_user` is given.
    """
    user = [] if trainer_user is None else ["--trainer-user", trainer_user]
    return LocalWorkerSettings(count, allowed, commands, options=[*display.worker_options, *user])


@contextmanager
def best_so_far(url: str, settings: Settings, study: str) -> Iterator[None]:
    """If the user interrupts the ``with`` block, print the best trial of the study before the block ends."""
    try:
        yield
    except KeyboardInterrupt:
        # The database may be unavailable, or the user may press Ctrl-C a second time.
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
            way_out = f"correct the cause, and run `ledger resume {row.name}`, which tries one more round"
            raise failure(connection, row, f"study {row.name} is failed: {way_out}")
