"""Proposals: from a study and what its ledger records to the points to try next; and the optimizer that makes them."""

from typing import TYPE_CHECKING, Any

from ledger.optimizer.history import mean_loss, recall
from ledger.optimizer.proposals import Observation, Proposal, environment, propose

if TYPE_CHECKING:
    from ledger.optimizer.optimizer import Optimizer

__all__ = ["Observation", "Optimizer", "Proposal", "environment", "mean_loss", "propose", "recall"]


def __getattr__(name: str) -> Any:
    # loaded with the first use: whoever reads a study's history needs no model
    if name == "Optimizer":
        from ledger.optimizer.optimizer import Optimizer

        return Optimizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
