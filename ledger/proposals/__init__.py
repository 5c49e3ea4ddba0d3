"""Proposals: from a study and what its ledger records to the points to try next."""

import sys

# Where pandas is installed scikit-learn loads it: 70 MB and a third of a second, and nobody asks for it here.
_IS_HIDDEN = "pandas" not in sys.modules
if _IS_HIDDEN:
    sys.modules["pandas"] = None  # type: ignore[assignment]
try:
    from ledger.proposals.history import mean_loss, recall
    from ledger.proposals.propose import Observation, Past, Proposal, environment, propose
    from ledger.proposals.surrogate import Dependence, Importance, Surrogate
finally:
    if _IS_HIDDEN:
        del sys.modules["pandas"]

__all__ = [
    "Dependence",
    "Importance",
    "Observation",
    "Past",
    "Proposal",
    "Surrogate",
    "environment",
    "mean_loss",
    "propose",
    "recall",
]
