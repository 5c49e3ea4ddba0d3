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
        "result", "failed", "timeout" or "refused". The kind "failed" means that the objective raised an exception,
        returned no finite loss or ended the process. The kind "timeout" means that the supervisor ended the attempt at
        its time limit. The kind "refused" means that this machine cannot load the objective.
    seconds : float
        Duration of the attempt in the trainer, in wall-clock seconds.
    loss : float or None
        The finite loss if the kind is "result", else None.
    metrics : dict or None
        The metrics if the kind is "result", else None.
    error : str or None
        The error text if the kind is not "result", else None. Lists and log lines show only the last line of this text.
    output : str
        End of the output of the attempt. The supervisor sets this attribute.
    """

    kind: str
    seconds: float
    loss: float | None = None
    metrics: Mapping[str, Any] | None = None
    error: str | None = None
    output: str = ""


# The trainer process sends this message after it has loaded an objective, and before it calls the objective.
LOADED = {"loaded": True}
