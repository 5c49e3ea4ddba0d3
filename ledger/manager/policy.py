"""The interface of a manager's policy: what to propose now, and what to tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

# Rounds of one iteration in which every trial failed, after which the study fails.
ROUNDS = 3


@dataclass(frozen=True)
class Request:
    """A round of an iteration that is to be proposed now.

    Attributes
    ----------
    iteration, round : int
        From 0.
    size : int
        How many points, at least 1.
    seen : sequence of int or None
        In steady mode, the trials whose ends are recorded with the iteration.
    """

    iteration: int
    round: int
    size: int
    seen: Sequence[int] | None = None


@dataclass(frozen=True)
class End:
    """The end of a study: "complete" or "failed", and the reason."""

    state: str
    reason: str | None = None


class Policy(Protocol):
    """Decides from the history of a study; it reads and writes nothing.

    Attributes
    ----------
    longest_poll : float
        Seconds between two polls, at most.
    """

    longest_poll: float

    def to_tell(self) -> list[int]:
        """Return the iterations that are to be told now, in order."""

    def next(self, budget: int) -> Request | End | None:
        """Return what to do now; None to wait for the end of a trial."""

    def used_up(self, request: Request) -> End | None:
        """Return the end of the study where the space has no point for a request; None to wait for open trials."""
