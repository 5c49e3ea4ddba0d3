"""The interface of the manager's policies. A policy decides what the manager proposes next."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.database.rows import TrialRow
from ledger.study.spec import TrialLimits
from ledger.text import last_line

# If all trials fail in `ROUNDS` rounds of the same iteration, the study fails.
ROUNDS = 3


@dataclass(frozen=True)
class ProposalRequest:
    """A policy's request to the manager: propose points for one round of an iteration.

    Attributes
    ----------
    iteration, round : int
        Number of the iteration, and number of the round, both counted from 0.
    size : int
        Number of points to propose, at least 1.
    seen : sequence of int or None
        In steady mode, the numbers of the trials that have ended or paused since the previous request. When the ledger
        records the iteration, the ledger also records the numbers of these trials. None in batch mode.
    seen_rungs : sequence of int or None, optional
        In steady mode with the rule "promotion", the rung at which each trial of `seen` waited. The element is None if
        the trial had ended.
    """

    iteration: int
    round: int
    size: int
    seen: Sequence[int] | None = None
    seen_rungs: Sequence[int | None] | None = None


@dataclass(frozen=True)
class StudyEnd:
    """A policy's decision that the study ends, with the final state ("complete" or "failed") and the reason."""

    state: str
    reason: str | None = None


@dataclass(frozen=True)
class PromotionRequest:
    """A policy's request that the manager promotes paused trials, in steady mode with the rule "promotion".

    Attributes
    ----------
    free : int
        The largest number of trials that the manager may promote, at least 1.
    otherwise : ProposalRequest, StudyEnd or None
        What the manager does next if no paused trial can go on. None if the manager must wait.
    """

    free: int
    otherwise: ProposalRequest | StudyEnd | None


def objective_failed(trials: Collection[TrialRow], limits: TrialLimits) -> bool:
    """Return True if all trials in `trials` failed because of the objective's exceptions or the time limit.

    The result is False if `trials` is empty, or if any of the trials failed because of crashes or lost attempts.
    """
    return bool(trials) and all(trial.state == "failed" and trial.failures >= limits.max_failures for trial in trials)


def failed_study(what: str, trial: TrialRow | None) -> StudyEnd:
    """Return the `StudyEnd` of a study that fails.

    Parameters
    ----------
    what : str
        Text that states which trials failed.
    trial : TrialRow or None
        The last failed trial. The reason for the end of the study contains the trial's error.
    """
    if trial is None:
        return StudyEnd("failed", what)
    return StudyEnd(
        "failed", f"{what}; the last failed trial is trial {trial.number}, with the error: {last_line(trial.error)}"
    )


class ProposalPolicy(Protocol):
    """Interface of the policies that decide what a manager proposes next.

    A policy uses only the history of the study for its decisions. A policy has no access to the database.

    Attributes
    ----------
    longest_poll : float
        Longest time in seconds between two polls of the ledger.
    """

    longest_poll: float

    def to_tell(self) -> list[int]:
        """Return, in ascending order, the numbers of the iterations whose results the optimizer must receive now."""

    def next(self, budget: int, batch_size: int) -> ProposalRequest | PromotionRequest | StudyEnd | None:
        """Return what the manager must propose or promote next, or a `StudyEnd` if the study must end now.

        Return None if the manager must wait until a trial has ended or paused.
        """

    def used_up(self, request: ProposalRequest) -> StudyEnd | None:
        """Return a `StudyEnd` if the search space has no unused point for `request`.

        If trials are still in flight, the study cannot end yet, and the method returns None.
        """
