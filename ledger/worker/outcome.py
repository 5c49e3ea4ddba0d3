"""The outcome of one attempt, as the trainer process reports it to the supervisor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """The outcome of one attempt.

    Attributes
    ----------
    kind : str
        "result", "failed", "timeout" or "refused". An attempt is "failed" if the objective raised an exception,
        returned no finite loss or ended the process. An attempt is "timeout" if the supervisor ended it at its time
        limit. An attempt is "refused" if this machine cannot load the objective.
    seconds : float
        Duration of the attempt in the trainer, in wall-clock seconds.
    loss : float or None
        The finite loss of a "result". None for all other kinds.
    metrics : dict or None
        The metrics of a "result". None for all other kinds.
    error : str or None
        The error text of all kinds except "result". Lists and log lines show only its last line.
    """

    kind: str
    seconds: float
    loss: float | None = None
    metrics: Mapping[str, Any] | None = None
    error: str | None = None


# The trainer process sends this message after it has loaded an objective, and before it calls the objective.
LOADED = {"loaded": True}
