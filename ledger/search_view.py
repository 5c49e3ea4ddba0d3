"""Display of a running search's status for the user of a Python program."""

import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import psycopg
from sqlalchemy.exc import DBAPIError

from ledger.database import status, trials
from ledger.database.connection import ServerUnreachable, engine, reason
from ledger.database.rows import StudyRow
from ledger.database.status import StudyStatus
from ledger.notebook.display import NotebookDisplay, in_notebook
from ledger.study.python_values import ordered_params
from ledger.terminal.display import TerminalDisplay

# Shortest time in seconds between two updates of the view.
_INTERVAL = 0.5
# Largest number of output lines that the view keeps.
_LINES = 200


class Display(Protocol):
    """The interface of the displays that draw the status of a study in a notebook or on a terminal."""

    def draw(self, status: StudyStatus, params: Mapping[str, Any] | None, output: Sequence[str], note: str) -> None:
        """Draw the status, the best trial's parameters, the output of the workers, and a note."""

    def end(self) -> None:
        """Leave what is drawn."""


class SearchView:
    """A view of a running search. The view reads the status of the study from the ledger, and draws the status in a
    notebook or on a terminal.

    If the output is neither a notebook nor a terminal, the view prints one line for each iteration.

    Parameters
    ----------
    url : str
        The database.
    study : StudyRow
    statement_seconds : float
        Seconds after which the server cancels a query that the view sends.
    """

    def __init__(self, url: str, study: StudyRow, statement_seconds: float) -> None:
        self._engine = engine(url, "ledger view", statement_seconds=statement_seconds)
        self._study = study
        self._display: Display = NotebookDisplay() if in_notebook() else TerminalDisplay(sys.stderr)
        self._output: deque[str] = deque(maxlen=_LINES)
        self._last: StudyStatus | None = None
        self._params: dict[str, Any] | None = None
        self._next = 0.0

    def add_output(self, text: str) -> None:
        """Add a line of a worker's output to the view."""
        self._output.append(text)

    def update(self) -> None:
        """Read and draw the status. Do nothing if less than `_INTERVAL` seconds have passed since the previous
        update.
        """
        if time.monotonic() >= self._next:
            self._draw()
            self._next = time.monotonic() + _INTERVAL

    def end(self) -> None:
        """Draw the last status."""
        self._draw()
        self._display.end()
        self._engine.dispose()

    def _draw(self) -> None:
        note = ""
        try:
            with self._engine.connect() as connection:
                self._last = status.read(connection, self._study.id)
                best = trials.best(connection, self._study.id)
        except (DBAPIError, psycopg.Error, ServerUnreachable) as error:
            note = f"the database does not answer: {reason(getattr(error, 'orig', error))}"
        else:
            self._params = None if best is None else ordered_params(best.params, self._study.spec["space"])
        if self._last is not None:
            self._display.draw(self._last, self._params, list(self._output), note)
