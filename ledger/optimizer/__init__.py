"""Proposals: from a study and what its ledger records to the points to try next."""

from ledger.optimizer.history import mean_loss, recall
from ledger.optimizer.optimizer import Optimizer
from ledger.optimizer.proposals import Observation, Past, Proposal, environment, propose

__all__ = ["Observation", "Optimizer", "Past", "Proposal", "environment", "mean_loss", "propose", "recall"]
