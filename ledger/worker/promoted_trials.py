"""Log lines about claimed trials that the rule "promotion" has promoted."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ledger.database import artifact_protocol
from ledger.database.protocol import ClaimedTrial
from ledger.logs import log_event

_log = logging.getLogger("ledger.worker")


def say_restarts(claimed: Sequence[ClaimedTrial], worker: str, call: Callable[..., Any]) -> None:
    """If a promoted trial has no checkpoint, log the trial, because the trial's training begins again.

    Parameters
    ----------
    claimed : sequence of ClaimedTrial
        The trials that the worker has claimed.
    worker : str
        The name of the worker.
    call : callable
        The method `try_call` of a `ReconnectingSession`.
    """
    for trial in claimed:
        if _was_promoted(trial.stopping) and not call(artifact_protocol.last_checkpoints, trial):
            message = (
                f"{trial.study_name} trial {trial.trial} goes on without a checkpoint, so its training begins again"
                " from the start"
            )
            fields: dict[str, Any] = {
                "worker": worker,
                "study": trial.study_name,
                "trial": trial.trial,
                "attempt": trial.attempt,
            }
            log_event(_log, "restarted", message, **fields)


def _was_promoted(stopping: dict[str, Any] | None) -> bool:
    return (
        stopping is not None
        and stopping.get("rule") == "promotion"
        and any(rung["stops"] is False for rung in stopping["rungs"])
    )
