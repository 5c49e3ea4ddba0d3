"""The computation of a study's next points from the trials that the ledger recorded."""

from ledger.proposals.environment import environment
from ledger.proposals.losses import mean_loss
from ledger.proposals.observations import Observation, ProposalInput, proposal_input
from ledger.proposals.propose import Proposal, propose
from ledger.proposals.surrogate import ParameterImportance, PartialDependence, Surrogate

__all__ = [
    "Observation",
    "ParameterImportance",
    "PartialDependence",
    "Proposal",
    "ProposalInput",
    "Surrogate",
    "environment",
    "mean_loss",
    "proposal_input",
    "propose",
]
