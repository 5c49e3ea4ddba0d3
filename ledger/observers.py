"""Observer of a search that a Python program has started."""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable

from ledger.access import connected
from ledger.database import trials as recorded_trials
from ledger.database.rows import StudyRow
from ledger.manager.loop import StudyProgress
from ledger.search import SearchObserver, SearchStopped
from ledger.search_view import SearchView
from ledger.settings import Settings
from ledger.study_result import Trial, trial_of
from ledger.text import one_line

_worker_log = logging.getLogger("ledger.worker")


class ProgramObserver(SearchObserver):
    """An observer of a search. The observer writes the workers' output to a logger, calls the user's callbacks, and
    stops the search on request.

    The name of the logger is ``ledger.worker``. Any thread may call `request_stop`. The thread that manages the study
    calls all other methods.

    Parameters
    ----------
    settings : Settings
        The settings of the search, which contain the location of the database.
    callbacks : iterable of callable
        The functions that the observer calls with each trial that ends. If a callback raises an exception, the search
        stops.
    shows : bool
        Whether to show the progress of the search in a notebook or on standard error.

    Attributes
    ----------
    last_problem : str or None
        The last warning or error of a worker.
    """

    def __init__(
        self, settings: Settings, callbacks: Iterable[Callable[[Trial], object]] = (), *, shows: bool = False
    ) -> None:
        self.last_problem: str | None = None
        self._settings, self._callbacks = settings, tuple(callbacks)
        self._shows = shows
        self._view: SearchView | None = None
        self._is_stopping = threading.Event()
        self._output: int | None = None
        self._thread: threading.Thread | None = None
        self._study: StudyRow | None = None
        # The observer has already called the callbacks for each trial with a number below `_first`, and for each trial
        # in `_seen`.
        self._first = 0
        self._seen: set[int] = set()

    def request_stop(self) -> None:
        """Request the end of the search. The search ends when the manager polls the study the next time. The workers
        finish or release their trials.
        """
        self._is_stopping.set()

    def started(self, url: str, study: StudyRow) -> None:
        self._study = study
        if self._shows:
            self._view = SearchView(url, study, self._settings.statement_timeout)
            self._view.update()
        if self._callbacks:
            self._take_ended()
        reading, self._output = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(reading,), name="ledger workers", daemon=True)
        self._thread.start()

    @property
    def worker_output(self) -> int | None:
        return self._output

    def progressed(self, progress: StudyProgress) -> None:  # noqa: ARG002
        self.call_back()
        if self._view is not None:
            self._view.update()
        if self._is_stopping.is_set():
            raise SearchStopped

    def stopped(self) -> None:
        if self._output is not None and self._thread is not None:
            os.close(self._output)
            self._thread.join()
        if self._view is not None:
            self._view.end()

    def call_back(self) -> None:
        """Call each callback with each trial that has ended since the previous call of this method, in the order of the
        trial numbers.
        """
        if not self._callbacks or self._study is None:
            return
        for trial in self._take_ended():
            for callback in self._callbacks:
                callback(trial)

    def _take_ended(self) -> list[Trial]:
        assert self._study is not None
        with connected(self._settings) as connection:
            rows = recorded_trials.ended_from(connection, self._study.id, self._first)
        new = [row for row in rows if row.number not in self._seen]
        self._seen |= {row.number for row in new}
        while self._first in self._seen:
            self._seen.remove(self._first)
            self._first += 1
        return [trial_of(row, self._study.spec["space"]) for row in new]

    def _read(self, reading: int) -> None:
        with open(reading, encoding="utf-8", errors="backslashreplace") as lines:
            for line in lines:
                level, message, is_record = _parsed(line)
                if level >= logging.WARNING:
                    self.last_problem = one_line(message)
                # The view already shows the progress of the study, so the view does not show the workers' log records
                # about the progress.
                if self._view is not None and (not is_record or level >= logging.WARNING):
                    self._view.add_output(message)
                _worker_log.log(level, "%s", message)


def _parsed(line: str) -> tuple[int, str, bool]:
    """Parse one line of a worker's output. Return the log level and the message. Also return whether the line is a log
    record.

    If a line is not a JSON log record, the line is the output of an objective or the error message of a worker.
    """
    try:
        record = json.loads(line)
        return logging.getLevelNamesMapping()[record["level"].upper()], str(record["message"]), True
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        is_error = line.startswith("ledger: ")
        return logging.ERROR if is_error else logging.INFO, line.rstrip("\n"), False
