"""A display that shows a running search in a notebook.

Each update of the display replaces the previous content of the display.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.database.status import StudyStatus
from ledger.notebook.html import running_search
from ledger.terminal.line import line


def in_notebook() -> bool:
    """Return True if this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    return getattr(found, "kernel", None) is not None


class NotebookDisplay:
    """A display that shows the progress of a search in the output of the notebook's current cell."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, status: StudyStatus, params: Mapping[str, Any] | None, output: Sequence[str], note: str) -> None:
        """Show the search. The new content replaces the previous content of the display."""
        from IPython.display import display

        show: Any = display
        content = {"text/html": running_search(status, params, output, note), "text/plain": line(status)}
        if self._handle is None:
            self._handle = show(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def end(self) -> None:
        """Stop the display. The notebook continues to show the last state of the search."""
