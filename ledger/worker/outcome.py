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
        "result"; "failed": the objective raised an exception, returned no finite loss or ended the process; "timeout":
        the supervisor ended it; "refused": the objective cannot be loaded on this machine.
    seconds : float
        Wall-clock seconds in the trainer.
    loss : float or None
        Finite for a result, else None.
    metrics : dict or None
        For a result.
    error : str or None
        For every other kind. Its last line is the summary that lists and log lines show.
    """

    kind: str
    seconds: float
    loss: float | None = None
    metrics: Mapping[str, Any] | None = None
    error: str | None = None


# The trainer process sends this between loading an objective and calling it.
LOADED = {"loaded": True}
