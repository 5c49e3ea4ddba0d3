"""The observations of a study, and the input of the function `propose`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ledger.proposals.trial_records import NONE, TrialLike, UsedTrials, record_type, records_of, used_trials
from ledger.study.spec import StudySpec


@dataclass(frozen=True)
class Observation:
    """The parameters of a trial, and its loss at the end or at a rung.

    Parameters
    ----------
    params : mapping
        A mapping from the name of each parameter to the parameter's value.
    loss : float or None
        The loss of the trial, as a finite number. `loss` is None if the trial failed. If the trial was pruned, `loss`
        is the loss that `proposal_input` gives to the trial.
    seconds : float or None
        The training time of the trial, in seconds. `seconds` is None if the training time is unknown.
    share : float
        The share of a whole training after which the loss was observed, in (0, 1].

    Examples
    --------
    >>> Observation({"C": 1.0}, loss=0.25, seconds=3.5).loss
    0.25
    """

    params: Mapping[str, Any]
    loss: float | None
    seconds: float | None
    share: float = 1.0


@dataclass(frozen=True)
class ProposalInput:
    """The input of the function `propose`: the trials and the surrogate from which `propose` computes a study's next
    points.

    Parameters
    ----------
    observations : sequence of Observation
        The trials that have ended with the state "complete", "pruned" or "failed". In batch mode, the trials are
        ordered by number. In steady mode, the trials also include each trial whose pause the manager noticed. A
        promoted trial stays an observation until the manager notices its next pause or its end, so the trial is not in
        `in_flight`. In steady mode, the trials have the order in which the manager noticed the ends and the pauses.
        If the surrogate models the losses at rungs, a trial can have several observations.
    excluded : sequence of mapping
        The parameters of each trial that is neither in `observations` nor in `in_flight`, such as a cancelled trial.
        The optimizer does not propose excluded parameters again.
    in_flight : sequence of mapping
        In steady mode, the parameters of the trials that are not in `observations` and not in `excluded`. The trials
        are ordered by number. The optimizer assumes a loss for each trial in flight.
    trials : int or None
        The number of trials in `observations`. None if each trial has one observation.
    surrogate : mapping or None
        The value of `Proposal.surrogate` that the ledger recorded last. If the surrogate is a GP, the next fit starts
        from the recorded kernel. With many observations, the next proposal also uses the recorded choice of the
        transform.

    Examples
    --------
    >>> given = ProposalInput([Observation({"C": 1.0}, 0.25, 3.5), Observation({"C": 9.0}, None, None)])
    >>> len(given.observations), given.surrogate
    (2, None)
    """

    observations: Sequence[Observation] = ()
    excluded: Sequence[Mapping[str, Any]] = ()
    in_flight: Sequence[Mapping[str, Any]] = ()
    surrogate: Mapping[str, Any] | None = None
    trials: int | None = None


T = TypeVar("T", bound=TrialLike)


def proposal_input(
    trials: Sequence[TrialLike],
    iteration: int,
    round: int,
    surrogate: Mapping[str, Any] | None,
    seen: Sequence[int] | None = None,
    rung_losses: Mapping[int, Mapping[int, float]] | None = None,
    seen_rungs: Sequence[int | None] | None = None,
    whole: int | None = None,
) -> ProposalInput:
    """Return the `ProposalInput` from which `propose` computes the points of one round of an iteration.

    In batch mode, the observations are the trials of earlier iterations. In batch mode, all trials of earlier
    iterations have ended. If all trials of a round fail, the list `excluded` contains the parameters of the failed
    trials in the next round of the iteration. In steady mode, the observations are the trials with the numbers in
    `seen`. In steady mode, a trial of an earlier iteration is in flight if `seen` does not contain the trial's number.

    If a user has retried a trial, and the retry has ended, the input contains the retry instead of the first trial. The
    list `excluded` contains the parameters of each cancelled trial, because a cancelled trial has no loss.

    A pruned trial has no final loss. If `whole` is not None, the trial has an observation of the loss at its highest
    rung. Observations of the losses at other rungs show how the loss depends on the share of a whole training. Complete
    trials have such observations, too. The number of these observations is at most the number of pruned and paused
    trials, and at most `MOST_OTHER_LOSSES`. If `whole` is None, the observation of a pruned trial contains an estimate
    of the final loss. The gain of a complete trial is the trial's loss at a rung, minus the trial's final loss. The
    estimate is the pruned trial's loss at its last rung, minus the median of the gains at this rung. The page
    docs/stopping.md compares such methods. The estimate of a pruned trial is at least the lowest loss of a complete
    trial. If the loss of a pruned trial at the rung was NaN, the function treats the trial as a failed trial.

    In steady mode, a trial that has paused at a rung gets the same observations as a trial that was pruned at this
    rung. If `seen` contains a trial several times, the function uses only the last occurrence.

    Parameters
    ----------
    trials : sequence of TrialLike
        The study's trials, ordered by number. The function ignores trials of iterations after `iteration`.
    iteration, round : int
        The number of the iteration and the number of the round. Both numbers begin at 0.
    surrogate : mapping or None
        The latest surrogate that the ledger recorded for an iteration before `iteration`.
    seen : sequence of int, optional
        In steady mode, the numbers of the trials that have ended or paused. The numbers have the order in which the
        manager noticed the ends and the pauses of the trials.
    rung_losses : mapping, optional
        For a study with early stopping, the losses of the ended and paused trials at the rungs. Each key is the number
        of a trial. Each value is a mapping from the step of a rung to the trial's loss at this rung. The function
        ignores the losses of all trials that are not in the observations.
    seen_rungs : sequence of int or None, optional
        The rung at which each trial of `seen` waited. The element is None if the trial had ended. If `seen_rungs` is
        None, all trials of `seen` had ended.
    whole : int, optional
        The result of `whole_training`.

    Returns
    -------
    ProposalInput

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> ended = SimpleNamespace(
    ...     number=0, iteration=0, round=0, params={"C": 1.0}, state="complete", loss=0.25, pruned_loss=None,
    ...     seconds=3.5, retry_of=None,
    ... )
    >>> proposal_input([ended], iteration=1, round=0, surrogate=None).observations
    [Observation(params={'C': 1.0}, loss=0.25, seconds=3.5, share=1.0)]
    >>> proposal_input([ended], iteration=1, round=0, surrogate=None, seen=[]).in_flight
    [{'C': 1.0}]
    """
    used = _used_trials(trials, iteration, round, seen, rung_losses, seen_rungs, whole)
    shares = np.ones(len(used.observed)) if used.shares is None else used.shares
    observed = [trials[index] for index in used.observed.tolist()]
    waited = (used.rungs != NONE).tolist()
    return ProposalInput(
        observations=[
            Observation(each.params, None if math.isnan(loss) else loss, None if waits else each.seconds, share)
            for each, loss, waits, share in zip(observed, used.losses.tolist(), waited, shares.tolist(), strict=True)
        ],
        excluded=[trials[index].params for index in used.excluded.tolist()],
        in_flight=[trials[index].params for index in used.in_flight.tolist()],
        surrogate=surrogate,
        trials=used.count,
    )


def observed_trials(
    trials: Sequence[T],
    iteration: int,
    seen: Sequence[int] | None = None,
    rung_losses: Mapping[int, Mapping[int, float]] | None = None,
    seen_rungs: Sequence[int | None] | None = None,
    whole: int | None = None,
) -> list[tuple[T, int | None]]:
    """Return the trial of each observation that `proposal_input` returns. The docstring of `proposal_input` describes
    the parameters.

    The second item of each tuple is the rung at which the trial waited, or None if the trial had ended.
    """
    used = _used_trials(trials, iteration, 0, seen, rung_losses, seen_rungs, whole)
    return [
        (trials[index], None if rung == NONE else rung)
        for index, rung in zip(used.observed.tolist(), used.rungs.tolist(), strict=True)
    ]


def whole_training(study: StudySpec) -> int | None:
    """Return the number of steps of a whole training if the surrogate models the losses at rungs, and otherwise None.

    Only a Gaussian process models the losses at rungs. With "EIps" and "PIps", it models whole trainings, because the
    time of a trial is the time of its whole training.
    """
    optimizer, stopping = study.optimizer, study.stopping
    if stopping.rule == "none" or optimizer.base_estimator != "GP" or optimizer.uses_times:
        return None
    return stopping.max_resource


def _used_trials(
    trials: Sequence[TrialLike],
    iteration: int,
    round: int,
    seen: Sequence[int] | None,
    rung_losses: Mapping[int, Mapping[int, float]] | None,
    seen_rungs: Sequence[int | None] | None,
    whole: int | None,
) -> UsedTrials:
    numbers = np.array([trial.number for trial in trials], dtype=np.int64)
    records = records_of(trials, record_type(timed=False))
    return used_trials(records, numbers, iteration, round, seen, rung_losses or {}, seen_rungs, whole)
