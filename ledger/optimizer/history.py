"""What is told of the trials that a ledger records: to a proposal, and of an iteration."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.optimizer.proposals import Observation


def recall(trials: Sequence[Any], iteration: int, round: int) -> tuple[list[Observation], list[Mapping[str, Any]]]:
    """Return the `history` and the `taken` parameters that one round of an iteration is proposed from.

    Only trials of earlier iterations, which are told and so do not change, and of earlier rounds count. A trial that
    was retried among them is left out, since its retry speaks for it; a cancelled one says nothing of its loss, and
    only its parameters are taken.

    Parameters
    ----------
    trials : sequence
        The study's trials in order, with attributes `number`, `iteration`, `round`, `params`, `state`, `loss`,
        `seconds` and `retry_of`; later ones are ignored.
    iteration, round : int
        From 0.
    """
    earlier = [trial for trial in trials if trial.iteration < iteration]
    retried = {trial.retry_of for trial in earlier}
    history = [
        Observation(trial.params, trial.loss, trial.seconds)
        for trial in earlier
        if trial.state != "cancelled" and trial.number not in retried
    ]
    taken = [trial.params for trial in earlier if trial.state == "cancelled" and trial.number not in retried]
    taken += [trial.params for trial in trials if trial.iteration == iteration and trial.round < round]
    return history, taken


def mean_loss(losses: Sequence[float]) -> float:
    """Return the mean of at least one loss, also where their sum is beyond a float."""
    return math.fsum(loss / len(losses) for loss in losses)
