"""Verification of the records of a study, the verdicts of early stopping, and the proposals."""

from ledger.verification.records import disagreements
from ledger.verification.snapshot import VerificationResult, verify

__all__ = ["VerificationResult", "disagreements", "verify"]
