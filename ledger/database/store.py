"""The manager's and the administrator's side of the ledger.

Every method is one transaction on the connection given, and leaves none open.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, select, text, tuple_, update
from sqlalchemy.dialects import postgresql

from ledger.database import tables
from ledger.database.protocol import CHANNEL
from ledger.errors import LedgerError

# Says "one manager a study" apart from other programs' advisory locks ("trial" in ASCII, cut to 32 bits).
MANAGER_LOCK = 0x7472696C
# Rows of one page of an export.
PAGE = 1000

AnyRow = Row[*tuple[Any, ...]]

_study, _iteration, _trial, _attempt = tables.study, tables.iteration, tables.trial, tables.attempt
_clock = func.ledger.clock
_open = _trial.c.state.in_(("pending", "running"))


@dataclass(frozen=True)
class StudyRow:
    """What the ledger holds of a study; `iterations` is its budget."""

    id: int
    name: str
    spec: dict[str, Any]
    iterations: int
    state: str
    reason: str | None
    created_at: datetime
    finished_at: datetime | None
    versions: dict[str, Any]

    @property
    def has_ended(self) -> bool:
        return self.state in ("complete", "failed", "cancelled")


@dataclass(frozen=True)
class Batch:
    """The trials of one round of an iteration, as they were proposed."""

    points: Sequence[Mapping[str, Any]]
    surrogate: Mapping[str, Any] | None
    environment: Mapping[str, Any]
    ask_seconds: float
    tell_seconds: float


class Store:
    """The ledger through one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # Studies

    def create(
        self, name: str, spec: Mapping[str, Any], spec_hash: str, iterations: int, versions: Mapping[str, Any]
    ) -> StudyRow | None:
        """Insert a study; None where the name is taken."""
        with self._connection.begin():
            row = self._connection.execute(
                postgresql.insert(_study)
                .values(
                    name=name,
                    spec=spec,
                    spec_hash=spec_hash,
                    iterations=iterations,
                    state="running",
                    created_at=_clock(),
                    versions=versions,
                )
                .on_conflict_do_nothing(index_elements=["name"])
                .returning(*_columns(StudyRow, _study))
            ).one_or_none()
        return None if row is None else StudyRow(**row._mapping)

    def study(self, name: str) -> StudyRow:
        """Return the study `name`; a LedgerError with the nearest names where there is none."""
        found = self.find(name)
        if found is None:
            with self._connection.begin():
                names = self._connection.scalars(select(_study.c.name)).all()
            near = difflib.get_close_matches(name, names, n=3)
            way_out = f"did you mean {' or '.join(near)}?" if near else "`ledger study list` shows the studies"
            raise LedgerError(f"there is no study {name!r}: {way_out}")
        return found

    def find(self, name: str) -> StudyRow | None:
        """Return the study `name`, or None."""
        with self._connection.begin():
            row = self._connection.execute(
                select(*_columns(StudyRow, _study)).where(_study.c.name == name)
            ).one_or_none()
        return None if row is None else StudyRow(**row._mapping)

    def progress(self, name: str | None = None) -> Sequence[AnyRow]:
        """Return the rows of the view ledger.progress, of one study or of all."""
        with self._connection.begin():
            return self._connection.execute(
                text("select * from ledger.progress where cast(:name as text) is null or study = :name"), {"name": name}
            ).all()

    def lock(self, study_id: int) -> bool:
        """Become the study's manager for as long as this connection lives; False where another one is."""
        with self._connection.begin():
            return bool(
                self._connection.scalar(
                    text("select pg_try_advisory_lock(:kind, :study)"), {"kind": MANAGER_LOCK, "study": study_id}
                )
            )

    def extend(self, study_id: int, iterations: int) -> None:
        """Let the budget grow; a complete study runs again."""
        with self._connection.begin():
            self._connection.execute(
                update(_study)
                .where(_study.c.id == study_id, _study.c.iterations < iterations)
                .values(iterations=iterations)
            )
            self._connection.execute(
                update(_study)
                .where(_study.c.id == study_id, _study.c.state == "complete")
                .values(state="running", finished_at=None, reason=None)
            )

    def run(self, study_id: int) -> None:
        """Let a paused or failed study go on, and tell the workers."""
        with self._connection.begin():
            self._connection.execute(
                update(_study)
                .where(_study.c.id == study_id, _study.c.state.in_(("paused", "failed")))
                .values(state="running", finished_at=None, reason=None)
            )
            self._notify()

    def pause(self, study_id: int) -> bool:
        """Hand out no more trials; False where the study is not running."""
        with self._connection.begin():
            return bool(
                self._connection.execute(
                    update(_study).where(_study.c.id == study_id, _study.c.state == "running").values(state="paused")
                ).rowcount
            )

    def cancel(self, study_id: int, reason: str) -> None:
        """End a study for good, with its trials that have not ended."""
        with self._connection.begin():
            self._connection.execute(select(func.ledger.cancel(study_id, reason)))

    def finish(self, study_id: int, state: str, reason: str | None) -> None:
        """Write how a study ended; one that has ended meanwhile stays as it is."""
        with self._connection.begin():
            self._connection.execute(
                update(_study)
                .where(_study.c.id == study_id, _study.c.state.in_(("running", "paused")))
                .values(state=state, reason=reason, finished_at=_clock())
            )
            # for the workers that leave with the study
            self._notify()

    def delete(self, study_id: int) -> None:
        """Remove a study with all that it has. Only the owner of the tables may."""
        with self._connection.begin():
            self._connection.execute(_study.delete().where(_study.c.id == study_id))

    # Iterations

    def last_iteration(self, study_id: int) -> AnyRow | None:
        """Return the study's latest iteration: number, round, size, told_at."""
        with self._connection.begin():
            return self._connection.execute(
                select(_iteration.c.number, _iteration.c.round, _iteration.c.size, _iteration.c.told_at)
                .where(_iteration.c.study_id == study_id)
                .order_by(_iteration.c.number.desc())
                .limit(1)
            ).one_or_none()

    def iterations(self, study_id: int) -> Sequence[AnyRow]:
        """Return all iterations in order."""
        with self._connection.begin():
            return self._connection.execute(
                select(_iteration).where(_iteration.c.study_id == study_id).order_by(_iteration.c.number)
            ).all()

    def propose(self, study_id: int, number: int, round: int, batch: Batch) -> bool:
        """Insert a round's trials, with its iteration where it is the first round, and tell the workers.

        Returns False, and writes nothing, where the study has ended meanwhile or the round is there already.
        """
        size = len(batch.points)
        facts = {
            "surrogate": batch.surrogate,
            "environment": batch.environment,
            "ask_seconds": batch.ask_seconds,
            "tell_seconds": batch.tell_seconds,
        }
        with self._connection.begin():
            # held until the commit, so that a cancellation sees these trials or prevents them
            state = self._connection.scalar(
                select(_study.c.state).where(_study.c.id == study_id).with_for_update(read=True)
            )
            if state not in ("running", "paused"):
                return False
            if round == 0:
                written = self._connection.execute(
                    postgresql.insert(_iteration)
                    .values(study_id=study_id, number=number, round=0, size=size, asked_at=_clock(), **facts)
                    .on_conflict_do_nothing()
                ).rowcount
            else:
                written = self._connection.execute(
                    update(_iteration)
                    .where(
                        _iteration.c.study_id == study_id,
                        _iteration.c.number == number,
                        _iteration.c.round == round - 1,
                        _iteration.c.told_at.is_(None),
                    )
                    .values(round=round, size=_iteration.c.size + size, **facts)
                ).rowcount
            if not written:
                return False
            first, moment = self._connection.execute(
                select(func.coalesce(func.max(_trial.c.number) + 1, 0), _clock()).where(_trial.c.study_id == study_id)
            ).one()
            self._connection.execute(
                insert(_trial),
                [
                    {
                        "study_id": study_id,
                        "number": first + index,
                        "iteration": number,
                        "round": round,
                        "source": "proposed",
                        "params": params,
                        "available_at": moment,
                    }
                    for index, params in enumerate(batch.points)
                ],
            )
            self._notify()
            return True

    def tell(self, study_id: int, number: int, mean_loss: float, best_loss: float) -> bool:
        """Mark an iteration as told; False unless as many of its trials have ended as its size says."""
        ended = (
            select(func.count())
            .where(_trial.c.study_id == study_id, _trial.c.iteration == number, ~_open)
            .scalar_subquery()
        )
        with self._connection.begin():
            return bool(
                self._connection.execute(
                    update(_iteration)
                    .where(
                        _iteration.c.study_id == study_id,
                        _iteration.c.number == number,
                        _iteration.c.told_at.is_(None),
                        _iteration.c.size == ended,
                    )
                    .values(told_at=_clock(), mean_loss=mean_loss, best_loss=best_loss)
                ).rowcount
            )

    # Trials

    def waiting(self, study_id: int, number: int) -> tuple[int, str]:
        """Return how many trials of the iteration have not ended, and the study's state. The manager's poll."""
        with self._connection.begin():
            row = self._connection.execute(
                select(
                    select(func.count())
                    # literals, so that the partial index serves the generic plan too
                    .where(
                        _trial.c.study_id == study_id,
                        _trial.c.iteration == number,
                        text("trial.state in ('pending', 'running')"),
                    )
                    .select_from(_trial)
                    .scalar_subquery(),
                    _study.c.state,
                ).where(_study.c.id == study_id)
            ).one_or_none()
        if row is None:
            raise LedgerError("the study was deleted while it was managed")
        return row[0], row[1]

    def trials(self, study_id: int, *, before: int | None = None, iteration: int | None = None) -> Sequence[AnyRow]:
        """Return trials in order, with the seconds of the attempt that completed each.

        Parameters
        ----------
        before : int, optional
            Only iterations before this one.
        iteration : int, optional
            Only this one.
        """
        chosen = [_trial.c.study_id == study_id]
        if before is not None:
            chosen.append(_trial.c.iteration < before)
        if iteration is not None:
            chosen.append(_trial.c.iteration == iteration)
        completed = and_(_attempt.c.claim == _trial.c.claim, _attempt.c.outcome == "complete")
        with self._connection.begin():
            return self._connection.execute(
                select(_trial, _attempt.c.seconds)
                .select_from(_trial.outerjoin(_attempt, completed))
                .where(*chosen)
                .order_by(_trial.c.number)
            ).all()

    def trial_pages(self, study_id: int, size: int = PAGE) -> Iterator[Sequence[AnyRow]]:
        """Yield all trials in order, a page at a time: each is a transaction of its own, so no snapshot is held."""
        last = -1
        while True:
            with self._connection.begin():
                page = self._connection.execute(
                    select(_trial)
                    .where(_trial.c.study_id == study_id, _trial.c.number > last)
                    .order_by(_trial.c.number)
                    .limit(size)
                ).all()
            if not page:
                return
            yield page
            last = page[-1].number

    def attempt_pages(self, study_id: int, size: int = PAGE) -> Iterator[Sequence[AnyRow]]:
        """Yield all attempts by trial and number, a page at a time."""
        last = (-1, 0)
        while True:
            with self._connection.begin():
                page = self._connection.execute(
                    select(_attempt)
                    .where(_attempt.c.study_id == study_id, tuple_(_attempt.c.trial, _attempt.c.number) > last)
                    .order_by(_attempt.c.trial, _attempt.c.number)
                    .limit(size)
                ).all()
            if not page:
                return
            yield page
            last = (page[-1].trial, page[-1].number)

    def metric_names(self, study_id: int) -> Sequence[str]:
        """Return the names that any trial's metrics have, sorted."""
        names = select(func.jsonb_object_keys(_trial.c.metrics).label("name")).where(_trial.c.study_id == study_id)
        with self._connection.begin():
            return self._connection.scalars(select(names.subquery().c.name).distinct().order_by("name")).all()

    def best(self, study_id: int) -> AnyRow | None:
        """Return the complete trial with the lowest loss, the earliest of equal ones."""
        with self._connection.begin():
            return self._connection.execute(
                select(_trial.c.number, _trial.c.iteration, _trial.c.params, _trial.c.loss, _trial.c.metrics)
                .where(_trial.c.study_id == study_id, _trial.c.state == "complete")
                .order_by(_trial.c.loss, _trial.c.number)
                .limit(1)
            ).one_or_none()

    def expired(self, study_id: int) -> Sequence[AnyRow]:
        """Return the running trials whose lease has run out: number, lease_until, worker."""
        with self._connection.begin():
            return self._connection.execute(
                select(_trial.c.number, _trial.c.lease_until, _trial.c.worker).where(
                    _trial.c.study_id == study_id,
                    text("trial.state in ('pending', 'running')"),
                    _trial.c.lease_until < _clock(),
                )
            ).all()

    def reap(self, study_id: int, number: int, lease_until: datetime) -> str | None:
        """Take one expired claim back; the trial's new state, or None where it was renewed or ended meanwhile."""
        with self._connection.begin():
            answer = self._connection.scalar(select(func.ledger.reap(study_id, number, lease_until)))
            if answer == "pending":
                self._notify()
            return answer

    def _notify(self) -> None:
        self._connection.execute(text(f"notify {CHANNEL}"))


def _columns(row: type, table: Any) -> list[Any]:
    return [table.c[name] for name in row.__dataclass_fields__]  # type: ignore[attr-defined]
