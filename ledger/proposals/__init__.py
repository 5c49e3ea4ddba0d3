"""The computation of a study's next points from the trials that the ledger recorded."""

from ledger.proposals.defaults import untried_defaults
from ledger.proposals.encoding import EncodedInput, TrialTable
from ledger.proposals.environment import environment
from ledger.proposals.expectation import Expectation, expectation
from ledger.proposals.losses import mean_loss
from ledger.proposals.observations import Observation, ProposalInput, observed_trials, proposal_input, whole_training
from ledger.proposals.propose import Proposal, load_optimizer, needed_trials, propose

__all__ = [
    "EncodedInput",
    "Expectation",
    "Observation",
    "Proposal",
    "ProposalInput",
    "TrialTable",
    "environment",
    "expectation",
    "load_optimizer",
    "mean_loss",
    "needed_trials",
    "observed_trials",
    "proposal_input",
    "propose",
    "untried_defaults",
    "whole_training",
]
