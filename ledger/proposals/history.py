"""What is told of the trials that a ledger records: to a proposal, and of an iteration."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.proposals.propose import Observation, Past


def recall(
    trials: Sequence[Any],
    iteration: int,
    round: int,
    surrogate: Mapping[str, Any] | None,
    seen: Sequence[int] | None = None,
) -> Past:
    """Return what one round of an iteration is proposed from.

    In batch mode only trials of earlier iterations, which are told and so do not change, and of earlier rounds count;
    in steady mode the trials whose end was seen, and those of earlier iterations are under way else. A trial that was
    retried among them is left out, since its retry speaks for it; a cancelled one says nothing of its loss, and only
    its parameters are taken.

    Parameters
    ----------
    trials : sequence
        The study's trials in order, with attributes `number`, `iteration`, `round`, `params`, `state`, `loss`,
        `seconds` and `retry_of`; later ones are ignored.
    iteration, round : int
        From 0.
    surrogate : mapping or None
        The last one that was recorded with an earlier iteration.
    seen : sequence of int, optional
        In steady mode, the numbers of the trials whose end was seen, in that order.
    """
    earlier = [trial for trial in trials if trial.iteration < iteration]
    ended = earlier if seen is None else [trials[number] for number in seen]
    retried = {trial.retry_of for trial in ended}
    counted = [trial for trial in ended if trial.number not in retried]
    numbers = set() if seen is None else set(seen)
    return Past(
        history=[
            Observation(trial.params, trial.loss, trial.seconds) for trial in counted if trial.state != "cancelled"
        ],
        taken=[
            *(trial.params for trial in counted if trial.state == "cancelled"),
            *(trial.params for trial in trials if trial.iteration == iteration and trial.round < round),
        ],
        under_way=[] if seen is None else [trial.params for trial in earlier if trial.number not in numbers],
        surrogate=surrogate,
    )


def mean_loss(losses: Sequence[float]) -> float:
    """Return the mean of at least one loss, also where their sum is beyond a float."""
    return math.fsum(loss / len(losses) for loss in losses)
