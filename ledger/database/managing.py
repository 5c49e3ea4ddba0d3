"""Functions by which a manager reads from the ledger and calls the SQL functions in sql/functions/.

Each function runs one transaction on the given connection. If the SQL function returns a word such as "held", the
Python function returns the same word.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Connection, Integer, any_, literal, or_, select, text, union_all

from ledger.database import views
from ledger.database.connection import driver, to_json, wait_for_notification
from ledger.database.rows import TrialRow
from ledger.database.selecting import answer, fetch, rows_of
from ledger.errors import LedgerError

_trials, _studies, _refusals = views.trials, views.studies, views.refusals


@dataclass(frozen=True)
class ClaimedStudy:
    """A study that a manager has claimed. The id `claim` permits the manager to write to the study."""

    study_id: int
    claim: UUID


@dataclass(frozen=True)
class ProposedBatch:
    """A batch of points that the optimizer proposed together. The ledger creates a trial for each point.

    Attributes
    ----------
    number, round : int
        The number of the iteration, counted from 0, and the number of the round within the iteration, counted from 0.
    known : int
        The number of trials that the study had when the optimizer computed the points.
    seen : sequence of int or None
        In steady mode, the numbers of trials that ended or paused. The manager noticed the end or the pause of these
        trials after the previous iteration. In batch mode, None.
    seen_rungs : sequence of int or None, optional
        In steady mode with the rule "promotion", one element for each trial of `seen`. The element is the rung at which
        the trial waited. The element is None if the trial had ended.
    batch_size : int or None
        The study's batch size at the time when the manager chose the number of points. If the study's current batch
        size differs from `batch_size`, the ledger refuses the batch. None disables the check of the batch size.
    """

    number: int
    round: int
    known: int
    points: Sequence[Mapping[str, Any]]
    surrogate: Mapping[str, Any] | None
    environment: Mapping[str, Any]
    ask_seconds: float
    tell_seconds: float
    seen: Sequence[int] | None = None
    batch_size: int | None = None
    seen_rungs: Sequence[int | None] | None = None


@dataclass(frozen=True)
class StudyState:
    """The part of a study's database row that a manager reads at each poll, such as the state and the budget.

    `has_criteria` is true if the study has a stopping criterion. `has_timeout` is true if the study has a timeout.
    """

    state: str
    budget: int
    batch_size: int
    has_criteria: bool
    has_timeout: bool


@dataclass(frozen=True)
class DecidedRung:
    """A rung with new verdicts of the rule "promotion": the step of the rung, the number of trials with a new verdict,
    and the number of these trials that go on.
    """

    rung: int
    judged: int
    promoted: int


@dataclass(frozen=True)
class PromotedTrials:
    """The trials that go on at a rung of the rule "promotion" in steady mode: the step of the rung, the number of
    trials that have arrived at the rung, and the numbers of the trials that go on.
    """

    rung: int
    arrivals: int
    trials: list[int]


@dataclass(frozen=True)
class TrialLease:
    """The lease of a running trial, with the number of the trial, the name of the worker, and the end of the lease."""

    trial: int
    worker: str
    until: datetime


_CLAIM = text("select ledger.claim_study(:study, :claim, :name, :seconds, :backend)")
_LEAVE = text("select ledger.leave_study(:study, :claim)")
_LISTEN = text("listen ledger_ended")
_PROPOSE = text(
    "select ledger.propose(:study, :claim, :number, :round, :known, cast(:points as jsonb), cast(:surrogate as jsonb),"
    " cast(:environment as jsonb), :ask_seconds, :tell_seconds, cast(:seen as int[]), :batch_size,"
    " cast(:seen_rungs as bigint[]))"
)
_TELL = text("select ledger.tell(:study, :claim, :number, :size, :mean_loss, :best_loss)")
_PROMOTE = text("select rung, judged, promoted from ledger.promote(:study, :claim, :iteration) order by rung")
_PROMOTE_WAITING = text(
    "select rung, arrivals, trials from ledger.promote_waiting(:study, :claim, :free) order by rung"
)
_PRUNE_PAUSED = text("select ledger.prune_paused(:study, :claim, :budget)")
_WAITING = text(
    "select trials.trial, verdicts.rung from ledger.trials"
    " join ledger.verdicts on verdicts.study_id = trials.study_id and verdicts.trial = trials.trial"
    " where trials.study_id = :study and trials.state = 'paused'"
    " and verdicts.stops and not verdicts.audited and verdicts.promoted_at is null"
    " and (cast(:numbers as int[]) is null or trials.trial = any (cast(:numbers as int[])))"
)
_FINISH = text("select ledger.finish(:study, :claim, :state, :reason, :budget)")
_STOP = text("select ledger.stop(:study, :claim)")
_REAP = text("select ledger.reap(:study, :claim, :trial, :lease_until)")
_END_CANCELLED = text("select ledger.end_cancelled(cast(:study as int))")


def claim_study(connection: Connection, held: ClaimedStudy, name: str, lease_seconds: float) -> str:
    """Claim the study for a manager, or renew the manager's lease of the study.

    Return "held" if the manager now has the claim on the study. Return "taken" if another manager has the claim. Return
    "unknown" if the study does not exist.
    """
    backend = driver(connection).info.backend_pid
    return str(
        answer(
            connection,
            _CLAIM,
            study=held.study_id,
            claim=held.claim,
            name=name,
            seconds=lease_seconds,
            backend=backend,
        )
    )


def listen(connection: Connection) -> None:
    """Subscribe to the notifications of iterations whose trials have ended or paused.

    Behind a transaction pooler, the function does nothing, because a transaction pooler forwards no notifications.
    """
    with connection.begin():
        backend = connection.scalar(text("select pg_backend_pid()"))
        if backend == driver(connection).info.backend_pid:
            connection.execute(_LISTEN)


def wait(connection: Connection, seconds: float) -> None:
    """Wait until a notification of an ended iteration arrives, or until `seconds` seconds have passed."""
    wait_for_notification(connection, seconds)


def leave_study(connection: Connection, held: ClaimedStudy) -> None:
    """Release the manager's claim on the study, so that another manager can immediately claim the study."""
    answer(connection, _LEAVE, study=held.study_id, claim=held.claim)


def propose(connection: Connection, held: ClaimedStudy, batch: ProposedBatch) -> str:
    """Insert the trials of a round. Return "proposed", "lost", "ended" or "changed"."""
    return str(
        answer(
            connection,
            _PROPOSE,
            study=held.study_id,
            claim=held.claim,
            number=batch.number,
            round=batch.round,
            known=batch.known,
            points=to_json(batch.points),
            surrogate=None if batch.surrogate is None else to_json(batch.surrogate),
            environment=to_json(batch.environment),
            ask_seconds=batch.ask_seconds,
            tell_seconds=batch.tell_seconds,
            seen=None if batch.seen is None else list(batch.seen),
            batch_size=batch.batch_size,
            seen_rungs=None if batch.seen_rungs is None else list(batch.seen_rungs),
        )
    )


def tell(
    connection: Connection, held: ClaimedStudy, number: int, size: int, mean_loss: float | None, best_loss: float | None
) -> str:
    """Record that the optimizer has received the results of an iteration. The iteration has `size` trials.

    Return "told", "lost" or "changed".
    """
    parameters = {"number": number, "size": size, "mean_loss": mean_loss, "best_loss": best_loss}
    return str(answer(connection, _TELL, study=held.study_id, claim=held.claim, **parameters))


def promote(connection: Connection, held: ClaimedStudy, iteration: int) -> list[DecidedRung]:
    """Promote the best paused trials of an iteration, and prune the other paused trials. Return the rungs at which the
    ledger has recorded new verdicts.

    The list is empty if the ledger changed nothing, for example because a trial of the iteration is running.
    """
    with connection.begin():
        rows = connection.execute(_PROMOTE, {"study": held.study_id, "claim": held.claim, "iteration": iteration})
        return [DecidedRung(*row) for row in rows]


def promote_waiting(connection: Connection, held: ClaimedStudy, free: int) -> list[PromotedTrials]:
    """Promote at most `free` paused trials of a study in steady mode. Return the promoted trials of each rung."""
    with connection.begin():
        rows = connection.execute(_PROMOTE_WAITING, {"study": held.study_id, "claim": held.claim, "free": free})
        return [PromotedTrials(*row) for row in rows]


def prune_paused(connection: Connection, held: ClaimedStudy, budget: int) -> str:
    """Prune the paused trials of a study in steady mode. Return "pruned", "lost" or "changed"."""
    return str(answer(connection, _PRUNE_PAUSED, study=held.study_id, claim=held.claim, budget=budget))


def waiting(connection: Connection, study_id: int, numbers: Collection[int] | None = None) -> dict[int, int]:
    """Return a mapping from the number of each paused trial to the rung at which the trial waits.

    The study must be in steady mode. If `numbers` is not None, the mapping contains only trials with these numbers.
    """
    parameters = {"study": study_id, "numbers": None if numbers is None else sorted(numbers)}
    with connection.begin():
        return {row.trial: row.rung for row in connection.execute(_WAITING, parameters)}


def open_states(connection: Connection, study_id: int, iteration: int) -> dict[int, str]:
    """Return the state of each trial of an iteration, but omit the ended trials. The key of each state is the number of
    the trial.
    """
    with connection.begin():
        rows = connection.execute(
            select(_trials.c.number, _trials.c.state).where(
                _trials.c.study_id == study_id,
                _trials.c.iteration == iteration,
                # The query contains the states as literals, so that a generic plan can use the partial index of open
                # trials.
                text("state in ('pending', 'running', 'paused')"),
            )
        )
        return {row.number: row.state for row in rows}


def finish(connection: Connection, held: ClaimedStudy, state: str, reason: str | None, budget: int) -> str:
    """Record the final state of the study. Return "finished", "lost" or "changed"."""
    parameters = {"state": state, "reason": reason, "budget": budget}
    return str(answer(connection, _FINISH, study=held.study_id, claim=held.claim, **parameters))


def stop(connection: Connection, held: ClaimedStudy) -> str:
    """End the study if a stopping criterion is met. Return "none", "stopping", "stopped", "ended" or "lost"."""
    return str(answer(connection, _STOP, study=held.study_id, claim=held.claim))


def reap(connection: Connection, held: ClaimedStudy, lease: TrialLease) -> str | None:
    """If the lease of a trial has expired, end the worker's claim on the trial.

    Return "pending", "failed", "locked" or None.
    """
    state = answer(connection, _REAP, study=held.study_id, claim=held.claim, trial=lease.trial, lease_until=lease.until)
    return None if state is None else str(state)


def end_cancelled(connection: Connection, study_id: int | None = None) -> int:
    """Cancel the trials that an earlier call could not cancel, because another session had locked the trials' rows.

    Return the number of trials whose rows are still locked.

    Parameters
    ----------
    study_id : int or None
        The id of the study whose trials the function cancels. None selects the trials of all studies.
    """
    return int(answer(connection, _END_CANCELLED, study=study_id))


def state(connection: Connection, study_id: int) -> StudyState:
    """Return the study's state, budget and batch size, and whether the study has stopping criteria.

    Raises
    ------
    LedgerError
        The study was deleted.
    """
    with connection.begin():
        of = _studies.c
        criteria = (of.target, of.patience, of.timeout_seconds)
        read = select(of.state, of.budget, of.batch_size, *criteria).where(of.id == study_id)
        row = connection.execute(read).one_or_none()
    if row is None:
        raise LedgerError("the study was deleted while this manager held the study")
    has_criteria = any(criterion is not None for criterion in row[3:])
    return StudyState(row.state, row.budget, row.batch_size, has_criteria, row.timeout_seconds is not None)


def news(
    connection: Connection,
    study_id: int,
    open_trials: Collection[int],
    known: int,
    *,
    pauses: bool = False,
    waiting: Collection[int] = (),
) -> list[TrialRow]:
    """Return the trials of `open_trials` that have ended, and all trials whose number is at least `known`.

    If `pauses` is True, also return the trials of `open_trials` that have paused. Also return the trials of `waiting`
    that are no longer paused. The returned list is ordered by the number of the trial.
    """
    of_study = rows_of(TrialRow).where(_trials.c.study_id == study_id)
    ended = _trials.c.finished_at.is_not(None)
    parts = [
        of_study.where(_is_one_of(open_trials), or_(ended, _trials.c.state == "paused") if pauses else ended),
        of_study.where(_trials.c.number >= known),
    ]
    if waiting:
        parts.append(of_study.where(_is_one_of(waiting), _trials.c.state != "paused"))
    with connection.begin():
        # The query is a union of selects. With a single select that contains "or", PostgreSQL might scan all trials of
        # the study.
        return fetch(connection, TrialRow, union_all(*parts).order_by("number"))


def _is_one_of(numbers: Collection[int]) -> ColumnElement[bool]:
    # PostgreSQL allows 65,535 parameters in a statement, so the numbers are one parameter.
    return _trials.c.number == any_(literal(sorted(numbers), ARRAY(Integer)))


def leases(connection: Connection, study_id: int) -> list[TrialLease]:
    """Return the leases of all running trials of the study."""
    with connection.begin():
        rows = connection.execute(
            select(_trials.c.number, _trials.c.worker, _trials.c.lease_until).where(
                _trials.c.study_id == study_id,
                # The query contains the states as literals. If the states were parameters, a generic plan could not use
                # the partial index of open trials.
                text("state in ('pending', 'running')"),
                _trials.c.state == "running",
            )
        )
        return [TrialLease(*row) for row in rows]


def refusals(connection: Connection, study_id: int) -> tuple[dict[str, str], int]:
    """Return a pair: a dictionary of the workers' refusals of the study, and the number of all live workers.

    Each key of the dictionary is the name of a live worker that refuses the study. Each value of the dictionary is the
    worker's reason for the refusal. If no worker refuses the study, the function does not count the live workers, and
    returns 0 instead of the number of live workers.
    """
    with connection.begin():
        rows = connection.execute(
            select(_refusals.c.worker, _refusals.c.reason).where(_refusals.c.study_id == study_id)
        ).all()
        # The function counts the live workers only if a worker refuses the study. If no worker refuses the study, the
        # caller does not need the count.
        alive = connection.scalar(text("select count(*) from ledger.workers where alive")) if rows else 0
    return {row.worker: row.reason for row in rows}, alive or 0
