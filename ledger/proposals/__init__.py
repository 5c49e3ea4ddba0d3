"""Proposals: from a study and what its ledger records to the points to try next."""

from ledger.proposals.environment import environment
from ledger.proposals.history import History, Observation, history_before
from ledger.proposals.losses import mean_loss
from ledger.proposals.propose import Proposal, propose
from ledger.proposals.surrogate import Dependence, Importance, Surrogate

__all__ = [
    "Dependence",
    "History",
    "Importance",
    "Observation",
    "Proposal",
    "Surrogate",
    "environment",
    "history_before",
    "mean_loss",
    "propose",
]
