"""Verification of proposals: each proposal is computed again from the seed and the earlier trials."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ledger.database.rows import IterationRow, StudyRow, TrialRow
from ledger.database.transfer import StudySnapshot
from ledger.proposals import TrialTable, environment, propose
from ledger.study.choices import as_json
from ledger.study.spec import StudySpec
from ledger.text import show


@dataclass(frozen=True)
class RecordedProposal:
    """A recorded proposal of the optimizer, for one round of an iteration.

    The attribute `before` is the most recent surrogate that the ledger recorded for an earlier iteration. In steady
    mode, `seen` contains the numbers of the trials that had ended or paused before the proposal. For each trial in
    `seen`, `seen_rungs` contains the rung at which the trial waited, or None if the trial had ended. `elsewhere`
    describes the differences between the recorded environment and the environment of this process. `elsewhere` is None
    if the recorded environment equals the environment of this process.
    """

    place: str
    iteration: IterationRow
    round: int
    trials: Sequence[TrialRow]
    before: Mapping[str, Any] | None
    seen: Sequence[int] | None
    seen_rungs: Sequence[int | None] | None
    elsewhere: str | None


def recorded(
    study: StudyRow, iterations: Sequence[IterationRow], trials: Sequence[TrialRow]
) -> Iterator[RecordedProposal]:
    """Yield the recorded proposals of a study, in the order in which they were made.

    The iterations and the trials must be in the order of their numbers, and must begin with number 0.
    """
    here = environment()
    proposed = [trial for trial in trials if trial.source == "proposed"]
    rounds = {
        key: list(of_round) for key, of_round in groupby(proposed, key=lambda trial: (trial.iteration, trial.round))
    }
    # The ledger records the environment only for the last round of an iteration. The verification recomputes an earlier
    # round only if two recorded environments equal the environment of this process: the last environment before the
    # round, and the first environment after the round.
    before: Mapping[str, Any] = study.versions
    surrogate = None
    seen: list[int] = []
    rungs: list[int | None] = []
    for iteration in iterations:
        seen += iteration.seen or ()
        rungs += [None] * len(iteration.seen or ()) if iteration.seen_rungs is None else iteration.seen_rungs
        for number in range(iteration.round + 1):
            if of_round := rounds.get((iteration.number, number)):
                is_last = number == iteration.round
                elsewhere = _unlike(iteration.environment, here)
                if elsewhere is None and not is_last and (unlike := _unlike(before, here)) is not None:
                    elsewhere = (
                        "the environment of this round is not recorded; the last recorded environment differs from"
                        f" the environment of this process: {unlike}"
                    )
                place = f"iteration {iteration.number}" + (f", round {number}" if iteration.round else "")
                order, waited = (None, None) if iteration.seen is None else (tuple(seen), tuple(rungs))
                yield RecordedProposal(place, iteration, number, of_round, surrogate, order, waited, elsewhere)
        before = iteration.environment or before
        surrogate = iteration.surrogate or surrogate


def disagreements(ledger: StudySnapshot, study: StudySpec, proposals: Sequence[RecordedProposal]) -> Iterator[str]:
    """Recompute proposals, and yield the differences between the recorded and the recomputed proposals."""
    rung_losses = ledger.stopping.rung_losses
    # The table encodes the points of the trials only once, and not for each proposal.
    table = TrialTable(study)
    if any(proposal.elsewhere is None for proposal in proposals):
        table.put(ledger.trials)
    for proposal in proposals:
        if proposal.elsewhere is not None:
            continue
        number, round = proposal.iteration.number, proposal.round
        given = table.given(number, round, proposal.before, proposal.seen, rung_losses, proposal.seen_rungs)
        computed = propose(study, number, round, len(proposal.trials), given)
        if len(computed.points) != len(proposal.trials):
            yield (
                f"{proposal.place}: {len(proposal.trials)} points are recorded, but {len(computed.points)} points"
                " were recomputed"
            )
        for trial, point in zip(proposal.trials, computed.points, strict=False):
            for name in dict.fromkeys([*point, *trial.params]):
                recorded, follows = trial.params.get(name), as_json(point.get(name))
                if recorded != follows:
                    yield (
                        f"trial {trial.number} ({proposal.place}): the recorded value of {name} is {show(recorded)},"
                        f" but the recomputed value is {show(follows)}"
                    )
        # For each iteration, the ledger records only the surrogate of the last round.
        if round == proposal.iteration.round:
            yield from _surrogate(proposal.place, proposal.iteration.surrogate or {}, computed.surrogate or {})


def _surrogate(place: str, recorded: Mapping[str, Any], computed: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*computed, *recorded]):
        if recorded.get(name) != computed.get(name):
            yield (
                f"{place}: the surrogate's recorded {name} is {show(recorded.get(name))}, but the recomputed {name}"
                f" is {show(computed.get(name))}"
            )


def _unlike(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Return the differences between a recorded environment and this process's environment.

    Return None if the environments are equal.
    """
    differences = [
        f"{name} {_plain(recorded.get(name))} recorded, {_plain(here.get(name))} here"
        for name in dict.fromkeys([*here, *recorded])
        if recorded.get(name) != here.get(name)
    ]
    return "; ".join(differences) or None


def _plain(value: Any) -> str:
    if value is None:
        return "nothing"
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)
