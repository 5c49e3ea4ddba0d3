"""The computation of a study's next points from the trials that the ledger recorded."""

from ledger.proposals.environment import environment
from ledger.proposals.losses import mean_loss
from ledger.proposals.observations import Observation, ProposalInput, proposal_input
from ledger.proposals.propose import Proposal, load_optimizer, propose

__all__ = [
    "Observation",
    "Proposal",
    "ProposalInput",
    "environment",
    "load_optimizer",
    "mean_loss",
    "proposal_input",
    "propose",
]
