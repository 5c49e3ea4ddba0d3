"""Verification of a study in a snapshot: the records, the verdicts and the proposals."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from ledger.database.rows import CodeVersionRow
from ledger.database.transfer import StudySnapshot
from ledger.errors import LedgerError
from ledger.study.spec import StudySpec
from ledger.verification import proposals, records


@dataclass(frozen=True)
class VerificationResult:
    """The result of the command `ledger verify` for a study with consistent records.

    Attributes
    ----------
    trials, attempts, iterations : int
        The counts of the verified trials, attempts and iterations.
    recomputed : int
        The number of proposals that `verify` has recomputed. The recomputed points equal the recorded points. Each
        proposal belongs to one round of an iteration.
    not_comparable : list of tuple of str
        The proposals that `verify` did not recompute, because their recorded environment differs from the environment
        of this process. The first item of a tuple is a text that names the iteration and the round of a proposal. The
        second item describes the differences between the two environments.
    code_versions : sequence of CodeVersionRow
        The recorded versions of the objective's code.
    """

    trials: int
    attempts: int
    iterations: int
    recomputed: int
    not_comparable: list[tuple[str, str]]
    code_versions: Sequence[CodeVersionRow]


def verify(ledger: StudySnapshot) -> VerificationResult:
    """Verify the records of a study, and recompute the study's proposals.

    If the recorded environment of a proposal equals the environment of this process, the function recomputes the
    proposal. Otherwise, the function does not recompute the proposal.

    Raises
    ------
    LedgerError
        The records contradict each other, a recomputed proposal differs from the recorded proposal, or this version of
        the program cannot read the study's spec. The error message names the first difference, and the trial or
        iteration that contains the difference.
    """
    study = StudySpec.from_spec(ledger.study.name, ledger.study.budget, ledger.study.spec)
    recorded = list(proposals.recorded(ledger.study, ledger.iterations, ledger.trials))
    for difference in chain(records.disagreements(ledger, study), proposals.disagreements(ledger, study, recorded)):
        raise LedgerError(f"study {ledger.study.name}, {difference}")
    other = [(proposal.place, proposal.elsewhere) for proposal in recorded if proposal.elsewhere is not None]
    return VerificationResult(
        trials=len(ledger.trials),
        attempts=len(ledger.attempts),
        iterations=len(ledger.iterations),
        recomputed=len(recorded) - len(other),
        not_comparable=other,
        code_versions=ledger.code_versions,
    )
