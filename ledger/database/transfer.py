"""Functions that read a whole study, and functions that insert a study from another ledger."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Insert, insert, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError, IntegrityError

from ledger.database import (
    annotation_tables,
    code_tables,
    codes,
    datasets,
    report_tables,
    studies,
    tables,
    verdict_tables,
    verdicts,
    views,
)
from ledger.database.datasets import StoredDataset
from ledger.database.rows import (
    OPEN_STATES,
    AttemptRow,
    CodeVersionRow,
    IterationRow,
    StudyRow,
    TrialRow,
    WorkerRow,
)
from ledger.database.selecting import begin_snapshot, fetch, fetch_one, last_number, rows_of
from ledger.database.verdicts import RecordedStopping
from ledger.errors import LedgerError
from ledger.text import one_line

# Maximum number of rows that one statement reads or inserts.
PAGE = 1000

_studies, _iterations, _workers = views.studies, views.iterations, views.workers
_trials, _attempts = views.trials, views.attempts
_CHANGED_REPORTS = text("select ledger.changed_reports(:study, :first, :last)")


@dataclass(frozen=True)
class StudySnapshot:
    """The content of a study at one moment, as rows of the database views.

    The rows are ordered by number. The attribute `at` is the time of the snapshot. The mapping `sources` contains the
    recorded source texts of the code. The key of a source text is the SHA-256 of the text. The set `changed_reports`
    contains the ended trials whose reports or arrivals differ from the hash that the ledger recorded when the trial
    ended. An exported file has no such hashes.
    """

    at: datetime
    study: StudyRow
    iterations: Sequence[IterationRow]
    trials: Sequence[TrialRow]
    attempts: Sequence[AttemptRow]
    code_versions: Sequence[CodeVersionRow] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    stopping: RecordedStopping = field(default_factory=RecordedStopping)
    changed_reports: Set[int] = frozenset()


@dataclass(frozen=True)
class ImportedStudy:
    """The content of a study that a user imports from another ledger, as rows of the database tables.

    Each row has the columns of its table, except the study's id and the claim. An export never contains claims. An
    annotation whose `trial` is None is the annotation of the study.
    """

    study: Mapping[str, Any]
    iterations: Iterable[Mapping[str, Any]]
    trials: Iterable[Mapping[str, Any]]
    attempts: Iterable[Mapping[str, Any]]
    workers: Iterable[Mapping[str, Any]]
    code_versions: Iterable[Mapping[str, Any]] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[StoredDataset] = ()
    annotations: Iterable[Mapping[str, Any]] = ()
    reports: Iterable[Mapping[str, Any]] = ()
    cutoffs: Iterable[Mapping[str, Any]] = ()
    verdicts: Iterable[Mapping[str, Any]] = ()
    promotions: Iterable[Mapping[str, Any]] = ()


def snapshot(connection: Connection, study_id: int) -> StudySnapshot:
    """Read all rows of a study in pages, with a short read-only transaction for each page.

    The snapshot contains the iterations and trials that existed at the time `at`. A trial that ended before the time
    `at` never changes. For a trial that was open at the time `at`, the snapshot can contain a later state. The function
    reads a trial and the trial's attempts in one transaction. Therefore the attempts always agree with the trial.

    Raises
    ------
    LedgerError
        The study was deleted.
    """
    with _reading(connection):
        study = fetch_one(connection, StudyRow, rows_of(StudyRow).where(_studies.c.id == study_id))
        at = _moment(connection)
        versions = codes.read_versions(connection, study_id)
        texts = codes.read_texts(connection, (sha256 for each in versions for sha256 in each.sources.values()))
        of_study = rows_of(IterationRow).where(_iterations.c.study_id == study_id)
        untold = {
            row.number: row for row in fetch(connection, IterationRow, of_study.where(_iterations.c.told.is_(None)))
        }
        last_iteration = last_number(connection, _iterations, study_id)
        last_trial = last_number(connection, _trials, study_id)
    iterations: list[IterationRow] = []
    for page in studies.iteration_pages(connection, study_id):
        iterations += (
            untold.get(row.number, row) for row in page if last_iteration is not None and row.number <= last_iteration
        )
    trials: list[TrialRow] = []
    attempts: list[AttemptRow] = []
    changed: set[int] = set()
    while last_trial is not None and (not trials or trials[-1].number < last_trial):
        after = trials[-1].number if trials else -1
        with _reading(connection):
            read = fetch(
                connection,
                TrialRow,
                rows_of(TrialRow)
                .where(_trials.c.study_id == study_id, _trials.c.number > after, _trials.c.number <= last_trial)
                .order_by(_trials.c.number)
                .limit(PAGE),
            )
            if not read:
                break
            attempts += fetch(
                connection,
                AttemptRow,
                rows_of(AttemptRow)
                .where(
                    _attempts.c.study_id == study_id, _attempts.c.trial > after, _attempts.c.trial <= read[-1].number
                )
                .order_by(_attempts.c.trial, _attempts.c.number),
            )
            place = {"study": study_id, "first": read[0].number, "last": read[-1].number}
            changed.update(connection.scalars(_CHANGED_REPORTS, place))
        trials += read
    # The function reads the verdicts after the trials, so that the snapshot contains the verdict on each pruned trial.
    with _reading(connection):
        stopping = verdicts.read(connection, study_id)
    if study is None or studies.find(connection, study.name) is None:
        raise LedgerError("the study was deleted while it was read")
    return StudySnapshot(at, study, iterations, trials, attempts, versions, texts, stopping, changed)


@contextmanager
def _reading(connection: Connection) -> Iterator[None]:
    """Run the statements of the ``with`` block in a read-only transaction with one snapshot."""
    with connection.begin():
        begin_snapshot(connection)
        yield


def worker_pages(connection: Connection, names: Collection[str]) -> Iterator[list[WorkerRow]]:
    """Yield the workers with the given names in pages, sorted by name. The function reads each page in a separate
    transaction.
    """
    left = iter(sorted(names))
    while page := list(islice(left, PAGE)):
        with connection.begin():
            yield fetch(
                connection, WorkerRow, rows_of(WorkerRow).where(_workers.c.name.in_(page)).order_by(_workers.c.name)
            )


def restore(connection: Connection, recorded: ImportedStudy) -> StudyRow | None:
    """Insert a whole study in one transaction. Return the study's row, or None if another study has the same name.

    A worker of the exporting ledger cannot end a trial in this ledger. Therefore a running trial becomes pending, and
    the trial's open attempt gets the outcome "released". A released attempt is neither a failed attempt nor a lost
    attempt. Only the owner of the tables can insert a study. The transaction also reads the inserted study. If the
    function cannot read the study after the insert, the function rolls the transaction back.

    Raises
    ------
    LedgerError
        The database refuses a row of the study.
    """
    try:
        with connection.begin():
            return _restore(connection, recorded)
    except (IntegrityError, DataError, UnicodeEncodeError) as error:
        refusal = one_line(_refusal(error))
        raise LedgerError(
            f"study {recorded.study['name']} cannot be imported, because the database refuses it ({refusal}): the"
            " export is damaged; export the study again"
        ) from None


def _restore(connection: Connection, recorded: ImportedStudy) -> StudyRow | None:
    moment = _moment(connection)
    study_id = connection.scalar(
        postgresql.insert(tables.study)
        .values(recorded.study)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(tables.study.c.id)
    )
    if study_id is None:
        return None
    datasets.keep(connection, recorded.files)
    of_study = {"study_id": study_id}
    # The insert skips a worker that already has a row in the table `worker`. A worker already has a row if the worker
    # has worked for another study of this ledger.
    _insert(connection, postgresql.insert(tables.worker).on_conflict_do_nothing(), map(dict, recorded.workers))
    _insert(connection, insert(code_tables.code_version), ({**row, **of_study} for row in recorded.code_versions))
    _insert(
        connection,
        postgresql.insert(code_tables.source).on_conflict_do_nothing(),
        ({"sha256": sha256, "text": content} for sha256, content in sorted(recorded.sources.items())),
    )
    _insert(connection, insert(tables.iteration), ({**row, **of_study} for row in recorded.iterations))
    # A trigger on the table `trial` computes the hash of an ended trial's reports and arrivals, and marks an open trial
    # that has reports.
    _insert(connection, insert(report_tables.report), ({**row, **of_study} for row in recorded.reports))
    _insert(connection, insert(verdict_tables.verdict), ({**row, **of_study} for row in recorded.verdicts))
    _insert(connection, insert(tables.trial), ({**_pending(row, moment), **of_study} for row in recorded.trials))
    _insert(
        connection,
        insert(tables.attempt),
        ({**_released(row, moment), **of_study, "claim": uuid4()} for row in recorded.attempts),
    )
    _insert(connection, insert(verdict_tables.cutoff), ({**row, **of_study} for row in recorded.cutoffs))
    _insert(connection, insert(verdict_tables.promotion), ({**row, **of_study} for row in recorded.promotions))
    annotations = list(recorded.annotations)
    of_the_study = ({**_without_trial(row), **of_study} for row in annotations if row["trial"] is None)
    _insert(connection, insert(annotation_tables.study_annotation), of_the_study)
    of_trials = ({**row, **of_study} for row in annotations if row["trial"] is not None)
    _insert(connection, insert(annotation_tables.trial_annotation), of_trials)
    connection.execute(text("select ledger.notify('ledger')"))
    return fetch_one(connection, StudyRow, rows_of(StudyRow).where(_studies.c.id == study_id))


def _refusal(error: Exception) -> str:
    """Return the database's error message about a refused row, without the context that PostgreSQL adds."""
    original = getattr(error, "orig", error)
    diagnostics = getattr(original, "diag", None)
    primary = None if diagnostics is None else diagnostics.message_primary
    detail = None if diagnostics is None else diagnostics.message_detail
    return str(original) if primary is None else primary if detail is None else f"{primary}: {detail}"


def _insert(connection: Connection, statement: Insert, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows in pages."""
    left: Iterator[dict[str, Any]] = iter(rows)
    while page := list(islice(left, PAGE)):
        connection.execute(statement, page)


def _without_trial(annotation: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in annotation.items() if name != "trial"}


def _pending(trial: Mapping[str, Any], moment: datetime) -> dict[str, Any]:
    """Convert an imported trial to a row for the insert.

    A running trial becomes pending, and an ended trial stays unchanged.
    """
    if trial["state"] not in OPEN_STATES:
        return dict(trial)
    state = "pending" if trial["state"] == "running" else trial["state"]
    # The clock of the ledger that exported the study may be ahead of the clock of this ledger.
    available_at = min(trial["available_at"], moment)
    return {**trial, "state": state, "available_at": available_at, "lease_until": None, "deadline_at": None}


def _released(attempt: Mapping[str, Any], moment: datetime) -> dict[str, Any]:
    """Convert an imported attempt to a row for the insert.

    An open attempt gets the outcome "released", and an ended attempt stays unchanged.
    """
    if attempt["outcome"] is not None:
        return dict(attempt)
    return {
        **attempt,
        "outcome": "released",
        "ended_at": moment,
        "error": "the attempt was running in another ledger when the study was imported",
    }


def _moment(connection: Connection) -> datetime:
    moment: datetime = connection.execute(text("select ledger.clock()")).scalar_one()
    return moment
