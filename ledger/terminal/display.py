"""The display of a search that a Python program has started. The display is a view on a terminal, or lines of text in
another stream.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TextIO

from ledger.database.status import StudyStatus
from ledger.terminal.line import line
from ledger.terminal.live import can_draw, console, live


class TerminalDisplay:
    """A display that shows the progress of a search on the terminal.

    If the stream is not a terminal, the display writes one line for each iteration.

    Parameters
    ----------
    stream : text stream
        The terminal or the file to which the display writes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live: Any = None
        self._last: tuple[Any, ...] = ()

    def draw(self, status: StudyStatus, params: Mapping[str, Any] | None, output: Sequence[str], note: str) -> None:  # noqa: ARG002
        """Show the search. Replace the earlier content of the display."""
        if not can_draw(self._stream):
            if self._last != (status.state, status.iterations_told):
                self._last = (status.state, status.iterations_told)
                print(line(status), file=self._stream, flush=True)
            return
        from ledger.terminal.panel import StatusPanel

        if self._live is None:
            self._live = live(console(self._stream), transient=False)
            self._live.start()
        self._live.update(StatusPanel(status, note=note), refresh=True)

    def end(self) -> None:
        """Stop the display. The last state of the search stays on the terminal."""
        if self._live is not None:
            with suppress(Exception):
                self._live.stop()
