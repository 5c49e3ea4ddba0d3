"""Proposals: from a study and what its ledger records to the points to try next."""

from ledger.optimizer.history import mean_loss, recall
from ledger.optimizer.proposals import Observation, Proposal, environment, propose

__all__ = ["Observation", "Proposal", "environment", "mean_loss", "propose", "recall"]
