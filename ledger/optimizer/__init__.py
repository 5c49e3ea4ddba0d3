"""Proposals: from a study and what its ledger records to the points to try next."""

from ledger.optimizer.history import mean_loss, recall
from ledger.optimizer.optimizer import Optimizer
from ledger.optimizer.proposals import Observation, Past, Proposal, environment, propose
from ledger.optimizer.surrogate import Dependence, Importance, Surrogate

__all__ = [
    "Dependence",
    "Importance",
    "Observation",
    "Optimizer",
    "Past",
    "Proposal",
    "Surrogate",
    "environment",
    "mean_loss",
    "propose",
    "recall",
]
