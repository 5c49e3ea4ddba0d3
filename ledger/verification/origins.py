"""The origin of a trial's point, recomputed from the recorded history."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, takewhile

from sqlalchemy import Connection

from ledger.database import studies, trials, verdicts
from ledger.database.rows import StudyRow, TrialRow
from ledger.errors import LedgerError
from ledger.proposals import (
    Expectation,
    expectation,
    needed_trials,
    observed_trials,
    proposal_input,
    untried_defaults,
    whole_training,
)
from ledger.study.spec import StudySpec
from ledger.verification import proposals


@dataclass(frozen=True)
class PointOrigin:
    """How the optimizer chose the point of a proposed trial.

    Attributes
    ----------
    known : int
        The number of ended and paused trials that the optimizer knew when it proposed the point.
    has_loss : bool
        Whether at least one of the known trials had a loss.
    needed : int
        The number of ended and paused trials that the surrogate needed.
    defaults : sequence of str
        The parameters that took their defaults, because no known trial had the defaults.
    estimator, acq_func : str
        The surrogate and the acquisition function of the study.
    expected : Expectation or None
        What the surrogate expected at the point. None if the point was random.
    nearest : TrialRow or None
        The known trial that is nearest to the point. None if the point was random.
    nearest_rung : int or None
        The rung at which the nearest trial waited when the optimizer proposed the point. None if the nearest trial had
        ended, or if the point was random.
    elsewhere : str or None
        The differences between the recorded environment of the proposal and the environment of this process. If the
        environments differ, the numbers in `expected` can differ from the numbers that the optimizer computed for the
        proposal. None if the environments are equal.
    """

    known: int
    has_loss: bool
    needed: int
    defaults: Sequence[str]
    estimator: str
    acq_func: str
    expected: Expectation | None
    nearest: TrialRow | None
    nearest_rung: int | None
    elsewhere: str | None


def origin(connection: Connection, study: StudyRow, trial: TrialRow) -> PointOrigin | None:
    """Return how the optimizer chose the point of a trial. The function fits the surrogate as the proposal did.

    Parameters
    ----------
    connection : Connection
    study : StudyRow
    trial : TrialRow
        A trial of the study. The trial may be in any state.

    Returns
    -------
    PointOrigin or None
        None if the optimizer has not proposed the trial.

    Raises
    ------
    LedgerError
        This version of the program cannot read the study's spec, or the study was deleted.
    """
    if trial.source != "proposed":
        return None
    spec = StudySpec.from_spec(study.name, study.budget, study.spec)
    # The numbers of the trials have no gaps, so `until` ends with the given trial. Later trials have no influence on
    # the proposal.
    until = list(chain.from_iterable(trials.pages(connection, study.id, limit=trial.number + 1)))
    pages = chain.from_iterable(studies.iteration_pages(connection, study.id))
    iterations = list(takewhile(lambda each: each.number <= trial.iteration, pages))
    of_trial = (trial.iteration, trial.round)
    recorded = proposals.recorded(study, iterations, until)
    found = next((each for each in recorded if (each.iteration.number, each.round) == of_trial), None)
    if found is None:
        raise LedgerError(f"study {study.name} was deleted while it was read")
    losses = verdicts.rung_losses(connection, study, [each.number for each in until])
    of_history = (found.seen, losses, found.seen_rungs, whole_training(spec))
    observed = observed_trials(until, trial.iteration, *of_history)
    given = proposal_input(until, trial.iteration, trial.round, found.before, *of_history)
    expected = expectation(spec, trial.iteration, trial.round, given, trial.params)
    # Only the first point of a proposal takes the defaults.
    defaults = untried_defaults(spec.space, given) if trial.number == found.trials[0].number else {}
    nearest, nearest_rung = (None, None) if expected is None else observed[expected.nearest]
    return PointOrigin(
        known=len({each.number for each, _ in observed}),
        has_loss=any(each.loss is not None for each in given.observations),
        needed=needed_trials(spec, len(given.in_flight)),
        defaults=tuple(defaults),
        estimator=spec.optimizer.base_estimator,
        acq_func=spec.optimizer.acq_func,
        expected=expected,
        nearest=nearest,
        nearest_rung=nearest_rung,
        elsewhere=None if expected is None else found.elsewhere,
    )
