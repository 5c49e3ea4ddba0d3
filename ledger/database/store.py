"""The manager's and the administrator's side of the ledger.

What people read, it reads from the views, as ledger_reader may; what steers a search needs ledger_manager. Every method
is one transaction on the connection given, and leaves none open.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Insert, Row, exists, func, insert, or_, select, text, true, tuple_, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from ledger.database import flattened, status, tables
from ledger.database.connection import to_json
from ledger.database.protocol import CHANNEL
from ledger.errors import LedgerError
from ledger.text import one_line

# Says "one manager a study" apart from other programs' advisory locks ("trial" in ASCII, cut to 32 bits).
MANAGER_LOCK = 0x7472696C
# One at a time stores or removes a dataset ("dataset" in ASCII).
DATASET_LOCK = 0x64617461736574
# For how long a worker that was seen counts as alive: three of the times at which one says that it is here.
ALIVE_SECONDS = 30
# Where the database tells the end of an iteration's last open trial (sql/functions/iteration_ended.sql).
ENDED = "ledger_ended"
# Rows of one page of an export.
PAGE = 1000
# Bytes of one piece of a dataset, a multiple of 3.
PIECE = 3 * 2**18

AnyRow = Row[*tuple[Any, ...]]

_study, _iteration, _trial = tables.study, tables.iteration, tables.trial
_attempt, _worker, _dataset = tables.attempt, tables.worker, tables.dataset
_studies, _iterations, _trials, _attempts = tables.studies, tables.iterations, tables.trials, tables.attempts
_workers = tables.workers
_clock = func.ledger.clock
_data_of_study = _study.c.spec["objective"]["data"]["sha256"].astext
_open = _trial.c.state.in_(("pending", "running"))


@dataclass(frozen=True)
class StudyRow:
    """What the ledger holds of a study; `iterations` is its budget."""

    id: int
    name: str
    spec: dict[str, Any]
    spec_hash: str
    iterations: int
    state: str
    reason: str | None
    created_at: datetime
    finished_at: datetime | None
    versions: dict[str, Any]

    @property
    def has_ended(self) -> bool:
        return self.state in ("complete", "failed", "cancelled")

    @property
    def budget(self) -> int:
        """Number of trials to propose."""
        batch_size = self.spec.get("batch_size")
        return self.iterations * batch_size if isinstance(batch_size, int) else self.iterations


@dataclass(frozen=True)
class Batch:
    """The trials of one round of an iteration, as they were proposed; `seen` only in steady mode."""

    points: Sequence[Mapping[str, Any]]
    surrogate: Mapping[str, Any] | None
    environment: Mapping[str, Any]
    ask_seconds: float
    tell_seconds: float
    seen: Sequence[int] | None = None


@dataclass(frozen=True)
class Dataset:
    """A file that studies train on: the SHA-256 of its content in hex, its name without the folder."""

    sha256: str
    name: str
    content: bytes


@dataclass(frozen=True)
class Finished:
    """A trial that was finished elsewhere; `loss` is finite."""

    params: Mapping[str, Any]
    loss: float
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """All that the ledger holds of a study at one moment, `at`; rows in order."""

    at: datetime
    study: StudyRow
    iterations: Sequence[AnyRow]
    trials: Sequence[AnyRow]
    attempts: Sequence[AnyRow]


class Store:
    """The ledger through one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._managed: int | None = None

    # Studies

    def create(
        self,
        name: str,
        spec: Mapping[str, Any],
        spec_hash: str,
        iterations: int,
        versions: Mapping[str, Any],
        dataset: Dataset | None = None,
    ) -> StudyRow | None:
        """Insert a study, with the file that it trains on; None where the name is taken."""
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
            if row is not None and dataset is not None:
                self._keep(dataset)
        return None if row is None else StudyRow(**row._mapping)

    def study(self, name: str) -> StudyRow:
        """Return the study `name`; a LedgerError with the nearest names where there is none."""
        found = self.find(name)
        if found is None:
            with self._connection.begin():
                names = self._connection.scalars(select(_studies.c.name)).all()
            near = difflib.get_close_matches(name, names, n=3)
            way_out = f"did you mean {' or '.join(near)}?" if near else "`ledger study list` shows the studies"
            raise LedgerError(f"there is no study {name!r}: {way_out}")
        return found

    def find(self, name: str) -> StudyRow | None:
        """Return the study `name`, or None."""
        with self._connection.begin():
            row = self._connection.execute(
                select(*_columns(StudyRow, _studies)).where(_studies.c.name == name)
            ).one_or_none()
        return None if row is None else StudyRow(**row._mapping)

    def progress(self, name: str | None = None) -> Sequence[AnyRow]:
        """Return the rows of the view ledger.progress, of one study or of all."""
        with self._connection.begin():
            return self._connection.execute(
                text("select * from ledger.progress where cast(:name as text) is null or study = :name"), {"name": name}
            ).all()

    def status(self, study_id: int) -> status.Status:
        """Return how the study stands now, in one statement: a live view asks again and again."""
        with self._connection.begin():
            return status.read(self._connection, study_id, MANAGER_LOCK)

    def lock(self, study_id: int) -> bool:
        """Become the study's manager for as long as this connection lives; False where another one is."""
        with self._connection.begin():
            locked = bool(
                self._connection.scalar(
                    text("select pg_try_advisory_lock(:kind, :study)"), {"kind": MANAGER_LOCK, "study": study_id}
                )
            )
            if locked:
                self._connection.execute(text(f"listen {ENDED}"))
                self._managed = study_id
        return locked

    def sleep(self, seconds: float) -> None:
        """Wait, as a manager: less long where the end of an iteration is told meanwhile."""
        driver: Any = self._connection.connection.driver_connection
        try:
            for _ in driver.notifies(timeout=seconds, stop_after=1):
                pass
        except psycopg.OperationalError:
            # SQLAlchemy saw none of this, and would roll back on a connection that is gone
            self._connection.invalidate()
            raise

    def end_ghost(self, study_id: int) -> bool:
        """End the session that an earlier connection of this same manager left behind with the lock.

        The server may not know yet that the connection is dead. A manager is known by its application_name, which is
        its own. Returns whether there was one.
        """
        with self._connection.begin():
            return bool(
                self._connection.scalar(
                    text(
                        "select bool_or(pg_terminate_backend(pid, 5000))"
                        " from pg_locks join pg_stat_activity using (pid)"
                        " where locktype = 'advisory' and granted and classid = :kind and objid = :study"
                        " and objsubid = 2"
                        " and database = (select oid from pg_database where datname = current_database())"
                        " and pid <> pg_backend_pid()"
                        " and application_name = current_setting('application_name')"
                        " and application_name like 'ledger manager %'"
                    ),
                    {"kind": MANAGER_LOCK, "study": study_id},
                )
            )

    def _hold(self, study_id: int) -> None:
        """Make sure, before a manager writes, that its lock is still its own: a pooler may have changed the session."""
        if self._managed != study_id:
            return
        held = self._connection.scalar(
            text(
                "select exists (select from pg_locks where locktype = 'advisory' and granted and objsubid = 2"
                " and classid = :kind and objid = :study and pid = pg_backend_pid())"
            ),
            {"kind": MANAGER_LOCK, "study": study_id},
        )
        if not held:
            raise LedgerError(
                "this manager's lock is lost, so it stops before it writes: give it a direct connection to the"
                " database, not one through a pooler"
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

    def unproposed_iterations(self, study: StudyRow) -> int:
        """Return by how many iterations the budget has grown for trials that nobody proposed.

        They were retried, enqueued or imported (sql/functions/join_iteration.sql).
        """
        if study.spec.get("mode") == "steady":
            return 0
        proposed = exists().where(
            _trials.c.study_id == study.id, _trials.c.iteration == _iterations.c.number, _trials.c.source == "proposed"
        )
        with self._connection.begin():
            return (
                self._connection.scalar(
                    select(func.count()).select_from(_iterations).where(_iterations.c.study_id == study.id, ~proposed)
                )
                or 0
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

    def finish(self, study_id: int, state: str, reason: str | None, *, iterations: int | None = None) -> bool:
        """Write how a study ended; False where it has ended meanwhile, or where a trial was retried meanwhile.

        Parameters
        ----------
        iterations : int, optional
            Nothing is written, either, where the budget is not this any more.
        """
        with self._connection.begin():
            self._hold(study_id)
            # held until the commit, so that the statement below sees every retry before it
            self._connection.execute(select(_study.c.id).where(_study.c.id == study_id).with_for_update())
            written = self._connection.execute(
                update(_study)
                .where(
                    _study.c.id == study_id,
                    true() if iterations is None else _study.c.iterations == iterations,
                    _study.c.state.in_(("running", "paused")),
                    ~exists(select(_trial.c.number).where(_trial.c.study_id == study_id, _open)),
                )
                .values(state=state, reason=reason, finished_at=_clock())
            ).rowcount
            # for the workers that leave with the study
            self._notify()
            return bool(written)

    def delete(self, study_id: int) -> None:
        """Remove a study with all that it has: its flattened view, and its dataset where no other study uses it.

        Only the owner of the tables may.
        """
        removed = _study.delete().where(_study.c.id == study_id).returning(_study.c.name, _data_of_study)
        with self._connection.begin():
            for name, sha256 in self._connection.execute(removed).all():
                flattened.drop(self._cursor(), name)
                if sha256 is not None:
                    self._hold_datasets()
                    uses = select(_study.c.id).where(_data_of_study == sha256)
                    self._connection.execute(_dataset.delete().where(_dataset.c.sha256 == sha256, ~exists(uses)))

    def flatten(self, study: StudyRow) -> flattened.Flattened:
        """Create or replace the study's flattened view. Only the owner of the schema may."""
        with self._connection.begin():
            return flattened.create(self._cursor(), study.id, study.name, study.spec["space"])

    def dataset_pieces(self, sha256: str) -> Iterator[bytes]:
        """Yield the content of what a study trains on, in pieces: each is a statement that a slow network has time for.

        All but the last have a length that base64 needs no padding for.
        """
        first = 0
        while True:
            with self._connection.begin():
                piece: bytes = self._connection.scalar(select(func.ledger.dataset(sha256, first, PIECE))) or b""
            yield bytes(piece)
            first += PIECE
            if len(piece) < PIECE:
                return

    def _keep(self, dataset: Dataset) -> None:
        """Store what a study trains on, within the transaction that stores the study, where it is not there yet."""
        # sending it takes as long as the network does; a peer that is gone is noticed all the same
        driver: Any = self._connection.connection.driver_connection
        patience, driver.answer_seconds = driver.answer_seconds, None
        try:
            self._connection.execute(text("set local statement_timeout = 0"))
            self._hold_datasets()
            known = text("select true from ledger.datasets where sha256 = :sha256")
            if not self._connection.scalar(known, {"sha256": dataset.sha256}):
                self._connection.execute(select(func.ledger.keep_dataset(dataset.name, dataset.content)))
        finally:
            driver.answer_seconds = patience

    def _hold_datasets(self) -> None:
        """Let nobody else store or remove a dataset until the commit."""
        self._connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": DATASET_LOCK})

    # Iterations

    def last_iteration(self, study_id: int) -> AnyRow | None:
        """Return the study's latest iteration: number, round, size, told_at."""
        with self._connection.begin():
            return self._connection.execute(
                select(_iterations.c.number, _iterations.c.round, _iterations.c.size, _iterations.c.told_at)
                .where(_iterations.c.study_id == study_id)
                .order_by(_iterations.c.number.desc())
                .limit(1)
            ).one_or_none()

    def iterations(self, study_id: int) -> Sequence[AnyRow]:
        """Return all iterations in order."""
        with self._connection.begin():
            return self._connection.execute(
                select(_iterations).where(_iterations.c.study_id == study_id).order_by(_iterations.c.number)
            ).all()

    def last_surrogate(self, study_id: int, before: int) -> Mapping[str, Any] | None:
        """Return the surrogate of the latest iteration that has one and whose number is below `before`."""
        with self._connection.begin():
            surrogate: Mapping[str, Any] | None = self._connection.scalar(
                select(_iterations.c.surrogate)
                .where(
                    _iterations.c.study_id == study_id,
                    _iterations.c.number < before,
                    # an older version stored JSON's null
                    func.jsonb_typeof(_iterations.c.surrogate) == "object",
                )
                .order_by(_iterations.c.number.desc())
                .limit(1)
            )
        return surrogate

    def propose(self, study_id: int, number: int, round: int, batch: Batch, *, known: int | None = None) -> bool:
        """Insert a round's trials, with its iteration where it is the first round, and tell the workers.

        Returns False, and writes nothing, where the study has ended meanwhile or the round is there already.

        Parameters
        ----------
        known : int, optional
            How many trials the study had when the points were computed. Nothing is written, either, where others have
            come since, as by `enqueue`: one of them may be a point of these.
        """
        size = len(batch.points)
        facts = {
            "surrogate": batch.surrogate,
            "environment": batch.environment,
            "ask_seconds": batch.ask_seconds,
            "tell_seconds": batch.tell_seconds,
        }
        with self._connection.begin():
            self._hold(study_id)
            # held until the commit, so that a cancellation sees these trials or prevents them
            state = self._connection.scalar(
                select(_study.c.state).where(_study.c.id == study_id).with_for_update(read=True)
            )
            if state not in ("running", "paused"):
                return False
            first, moment = self._connection.execute(
                select(func.coalesce(func.max(_trial.c.number) + 1, 0), _clock()).where(_trial.c.study_id == study_id)
            ).one()
            if known not in (None, first):
                return False
            if round == 0:
                written = self._connection.execute(
                    postgresql.insert(_iteration)
                    .values(
                        study_id=study_id,
                        number=number,
                        round=0,
                        size=size,
                        asked_at=_clock(),
                        seen=None if batch.seen is None else list(batch.seen),
                        **facts,
                    )
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

    def tell(
        self, study_id: int, number: int, mean_loss: float | None, best_loss: float | None, size: int | None = None
    ) -> bool:
        """Mark an iteration as told; False unless as many of its trials have ended as its size says.

        Parameters
        ----------
        mean_loss, best_loss : float or None
            Of its complete trials; None for retried trials, none of which completed.
        size : int, optional
            Of how many trials the losses are, so that one that was retried meanwhile is not told without its own.
        """
        ended = (
            select(func.count())
            .where(_trial.c.study_id == study_id, _trial.c.iteration == number, ~_open)
            .scalar_subquery()
        )
        with self._connection.begin():
            self._hold(study_id)
            return bool(
                self._connection.execute(
                    update(_iteration)
                    .where(
                        _iteration.c.study_id == study_id,
                        _iteration.c.number == number,
                        _iteration.c.told_at.is_(None),
                        _iteration.c.size == ended,
                        true() if size is None else _iteration.c.size == size,
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

    def trials_now(self, study_id: int, numbers: Sequence[int], first: int) -> Sequence[AnyRow]:
        """Return the trials of these numbers and all from `first` on, as `trials` does. The steady manager's poll."""
        with self._connection.begin():
            return self._connection.execute(
                select(_trials)
                .where(
                    _trials.c.study_id == study_id,
                    or_(_trials.c.number.in_(numbers), _trials.c.number >= first),
                )
                .order_by(_trials.c.number)
            ).all()

    def trials(self, study_id: int, *, iteration: int | None = None) -> Sequence[AnyRow]:
        """Return all trials, or those of an iteration, in order, each with the seconds of its complete attempt."""
        chosen = [_trials.c.study_id == study_id]
        if iteration is not None:
            chosen.append(_trials.c.iteration == iteration)
        with self._connection.begin():
            return self._connection.execute(select(_trials).where(*chosen).order_by(_trials.c.number)).all()

    def trial_pages(self, study_id: int, size: int = PAGE) -> Iterator[Sequence[AnyRow]]:
        """Yield all trials in order, a page at a time: each is a transaction of its own, so no snapshot is held."""
        last = -1
        while True:
            with self._connection.begin():
                page = self._connection.execute(
                    select(_trials)
                    .where(_trials.c.study_id == study_id, _trials.c.number > last)
                    .order_by(_trials.c.number)
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
                    select(_attempts)
                    .where(_attempts.c.study_id == study_id, tuple_(_attempts.c.trial, _attempts.c.number) > last)
                    .order_by(_attempts.c.trial, _attempts.c.number)
                    .limit(size)
                ).all()
            if not page:
                return
            yield page
            last = (page[-1].trial, page[-1].number)

    def trial(self, study: StudyRow, number: int) -> AnyRow:
        """Return one trial, with the seconds of its complete attempt; a LedgerError where there is none."""
        with self._connection.begin():
            row = self._connection.execute(
                select(_trials).where(_trials.c.study_id == study.id, _trials.c.number == number)
            ).one_or_none()
            if row is None:
                last = self._connection.scalar(select(func.max(_trials.c.number)).where(_trials.c.study_id == study.id))
                there = "no trials yet" if last is None else f"trials 0 to {last}"
                raise LedgerError(f"there is no trial {number}: study {study.name} has {there}")
        return row

    def attempts(self, study_id: int, trial: int) -> Sequence[AnyRow]:
        """Return the attempts of one trial in order."""
        with self._connection.begin():
            return self._connection.execute(
                select(_attempts)
                .where(_attempts.c.study_id == study_id, _attempts.c.trial == trial)
                .order_by(_attempts.c.number)
            ).all()

    def retry(self, study_id: int, numbers: Sequence[int]) -> list[int]:
        """Try trials again as new ones, all or none, and return the numbers of these.

        Raises
        ------
        LedgerError
            One of them is not to be retried; the message says why.
        """
        with self._refusals(), self._connection.begin():
            return [self._connection.scalar(select(func.ledger.retry(study_id, number))) or 0 for number in numbers]

    def enqueue(self, study_id: int, points: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add trials of a person's own choice, all or none, and return their numbers. They are claimed first.

        Parameters
        ----------
        points : sequence of mapping
            Points of the study's space, as `Space.normalise` returns them.

        Raises
        ------
        LedgerError
            The study was cancelled, or has one of the points already; the message says which.
        """
        call = text("select ledger.enqueue(:study, cast(:params as jsonb))")
        with self._refusals(), self._connection.begin():
            return [
                self._connection.scalar(call, {"study": study_id, "params": to_json(params)}) or 0 for params in points
            ]

    def import_trials(self, study_id: int, trials: Sequence[Finished], mean_loss: float) -> int:
        """Bring in trials that were finished elsewhere, all or none, and return the number of the first.

        Parameters
        ----------
        trials : sequence of Finished
            At least one, with distinct points.
        mean_loss : float
            Of them all.

        Raises
        ------
        LedgerError
            The study was cancelled, or has one of the points already.
        """
        rows = [{"params": one.params, "loss": one.loss, "metrics": one.metrics} for one in trials]
        call = text("select ledger.import_trials(:study, cast(:trials as jsonb), :mean_loss)")
        with self._refusals(), self._connection.begin():
            parameters = {"study": study_id, "trials": to_json(rows), "mean_loss": mean_loss}
            return self._connection.scalar(call, parameters) or 0

    def cancel_trials(self, study_id: int, numbers: Sequence[int], reason: str) -> None:
        """Cancel trials that have not ended, all or none.

        Raises
        ------
        LedgerError
            One of them has ended.
        """
        with self._refusals(), self._connection.begin():
            for number in numbers:
                self._connection.execute(select(func.ledger.cancel_trials(study_id, number, reason)))

    def snapshot(self, study_id: int) -> Snapshot:
        """Read all that there is of a study as it is at one moment, in one transaction that can write nothing."""
        with self._connection.begin():
            self._connection.execute(text("set transaction isolation level repeatable read, read only"))
            study = self._connection.execute(
                select(*_columns(StudyRow, _studies), _clock().label("at")).where(_studies.c.id == study_id)
            ).one_or_none()
            if study is None:
                raise LedgerError("the study was deleted while it was read")
            facts = dict(study._mapping)
            return Snapshot(
                at=facts.pop("at"),
                study=StudyRow(**facts),
                iterations=self._connection.execute(
                    select(_iterations).where(_iterations.c.study_id == study_id).order_by(_iterations.c.number)
                ).all(),
                trials=self._connection.execute(
                    select(_trials).where(_trials.c.study_id == study_id).order_by(_trials.c.number)
                ).all(),
                attempts=self._connection.execute(
                    select(_attempts)
                    .where(_attempts.c.study_id == study_id)
                    .order_by(_attempts.c.trial, _attempts.c.number)
                ).all(),
            )

    def restore(
        self,
        study: Mapping[str, Any],
        *,
        iterations: Iterable[Mapping[str, Any]],
        trials: Iterable[Mapping[str, Any]],
        attempts: Iterable[Mapping[str, Any]],
        workers: Iterable[Mapping[str, Any]],
        dataset: Dataset | None = None,
    ) -> bool:
        """Insert a whole study as another ledger records it, in one transaction; False where its name is taken.

        Rows have the columns of their tables, without the study's id and without claims, which no ledger gives away.
        What runs there cannot end here, so its trial is pending, and its attempt released: it counts against nothing.
        Only the owner of the tables may.

        Raises
        ------
        LedgerError
            The database refuses what a row says.
        """
        try:
            return self._restore(study, iterations, trials, attempts, workers, dataset)
        except (IntegrityError, DataError) as error:
            said = one_line(str(error.orig))
            raise LedgerError(
                f"study {study['name']} cannot be imported, since the database refuses it ({said}): the export is"
                " damaged; write it again"
            ) from None

    def _restore(
        self,
        study: Mapping[str, Any],
        iterations: Iterable[Mapping[str, Any]],
        trials: Iterable[Mapping[str, Any]],
        attempts: Iterable[Mapping[str, Any]],
        workers: Iterable[Mapping[str, Any]],
        dataset: Dataset | None,
    ) -> bool:
        with self._connection.begin():
            moment: Any = self._connection.scalar(select(_clock()))
            study_id = self._connection.scalar(
                postgresql.insert(_study)
                .values(study)
                .on_conflict_do_nothing(index_elements=["name"])
                .returning(_study.c.id)
            )
            if study_id is None:
                return False
            if dataset is not None:
                self._keep(dataset)
            of_study = {"study_id": study_id}
            # one that worked for other studies here is known
            self._insert(postgresql.insert(_worker).on_conflict_do_nothing(), (dict(row) for row in workers))
            self._insert(insert(_iteration), ({**row, **of_study} for row in iterations))
            self._insert(insert(_trial), ({**_not_running(row, moment), **of_study} for row in trials))
            self._insert(insert(_attempt), ({**_ended(row, moment), **of_study, "claim": uuid4()} for row in attempts))
            self._notify()
        return True

    def _insert(self, statement: Insert, rows: Iterable[dict[str, Any]]) -> None:
        """Insert rows in pages."""
        there = iter(rows)
        while page := list(islice(there, PAGE)):
            self._connection.execute(statement, page)

    def workers_of(self, study_id: int) -> Sequence[AnyRow]:
        """Return the workers that had an attempt of the study, by name."""
        names = select(_attempts.c.worker).where(_attempts.c.study_id == study_id)
        with self._connection.begin():
            return self._connection.execute(
                select(_workers).where(_workers.c.name.in_(names)).order_by(_workers.c.name)
            ).all()

    def metric_names(self, study_id: int) -> Sequence[str]:
        """Return the names that any trial's metrics have, sorted."""
        names = select(func.jsonb_object_keys(_trials.c.metrics).label("name")).where(_trials.c.study_id == study_id)
        with self._connection.begin():
            return self._connection.scalars(select(names.subquery().c.name).distinct().order_by("name")).all()

    def metric_kinds(self, study_id: int) -> Sequence[tuple[str, list[str]]]:
        """Return the names that any trial's metrics have, sorted, each with the JSON types of its values but null."""
        with self._connection.begin():
            rows = self._connection.execute(
                text(
                    "select key, coalesce(array_agg(distinct jsonb_typeof(value)) filter (where value <> 'null'), '{}')"
                    " from ledger.trials cross join lateral jsonb_each(metrics)"
                    " where study_id = :study group by key order by key"
                ),
                {"study": study_id},
            ).all()
        return [(name, kinds) for name, kinds in rows]

    def best(self, study_id: int) -> AnyRow | None:
        """Return the complete trial with the lowest loss, the earliest of equal ones; it may be an imported one."""
        with self._connection.begin():
            return self._connection.execute(
                select(*(_trials.c[name] for name in ("number", "iteration", "source", "params", "loss", "metrics")))
                .where(_trials.c.study_id == study_id, _trials.c.state == "complete")
                .order_by(_trials.c.loss, _trials.c.number)
                .limit(1)
            ).one_or_none()

    def leases(self, study_id: int) -> Sequence[AnyRow]:
        """Return the running trials: number, lease_until, worker."""
        with self._connection.begin():
            return self._connection.execute(
                select(_trial.c.number, _trial.c.lease_until, _trial.c.worker).where(
                    _trial.c.study_id == study_id,
                    text("trial.state in ('pending', 'running')"),
                    _trial.c.state == "running",
                )
            ).all()

    def reap(self, study_id: int, number: int, lease_until: datetime) -> str | None:
        """Take one expired claim back; the trial's new state, or None where it was renewed or ended meanwhile."""
        with self._connection.begin():
            answer = self._connection.scalar(select(func.ledger.reap(study_id, number, lease_until)))
            if answer == "pending":
                self._notify()
            return answer

    # Workers

    def workers(self) -> Sequence[AnyRow]:
        """Return the rows of the view ledger.workers, the latest first, with the seconds since each was seen."""
        with self._connection.begin():
            return self._connection.execute(
                text(
                    "select *, extract(epoch from ledger.clock() - last_seen_at) as seconds from ledger.workers"
                    " order by last_seen_at desc, name"
                )
            ).all()

    # Questions

    def ask(self, statement: sql.Composed) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the columns and rows of what a statement asks, which can write nothing."""
        with self._connection.begin():
            cursor = self._cursor()
            cursor.execute("set transaction read only")
            cursor.execute(statement)
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Say as a LedgerError what the ledger's functions refuse."""
        try:
            yield
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.ObjectNotInPrerequisiteState):
                raise LedgerError(error.orig.diag.message_primary) from None
            raise

    def _cursor(self) -> "psycopg.Cursor[Any]":
        """Return psycopg's own cursor within the transaction, for what SQLAlchemy does not quote."""
        driver: Any = self._connection.connection.driver_connection
        cursor: psycopg.Cursor[Any] = driver.cursor()
        return cursor

    def _notify(self) -> None:
        self._connection.execute(text(f"notify {CHANNEL}"))


def _not_running(trial: Mapping[str, Any], moment: datetime) -> dict[str, Any]:
    """Return a trial as it is where its worker is not."""
    if trial["state"] not in ("pending", "running"):
        return dict(trial)
    # the other ledger's clock may be ahead
    available_at = min(trial["available_at"], moment)
    return {**trial, "state": "pending", "available_at": available_at, "lease_until": None, "deadline_at": None}


def _ended(attempt: Mapping[str, Any], moment: datetime) -> dict[str, Any]:
    """Return an attempt as it is where its worker is not."""
    if attempt["outcome"] is not None:
        return dict(attempt)
    return {**attempt, "outcome": "released", "ended_at": moment, "error": "imported while it was under way elsewhere"}


def _columns(row: type, table: Any) -> list[Any]:
    return [table.c[name] for name in row.__dataclass_fields__]  # type: ignore[attr-defined]
