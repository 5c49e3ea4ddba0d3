"""A study's json export (ledger/export/documents.py), read back whole."""

import json
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ledger.database.store import Dataset, Snapshot, Store, StudyRow
from ledger.errors import LedgerError, UsageError
from ledger.export.documents import FORMAT, VERSION
from ledger.objectives import tabular
from ledger.study.file import StudyTable
from ledger.study.spec import StudySpec
from ledger.text import one_line, show
from ledger.verification import disagreements

WRITE_IT = "write one by `ledger export NAME --output FILE`"

# JSON has them as text
Moment = Annotated[AwareDatetime, Field(strict=False)]
Object = dict[str, Any]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class StudyRecord(_Record):
    name: str
    state: str
    reason: str | None
    iterations: int
    created_at: Moment
    finished_at: Moment | None
    spec: Object
    spec_hash: str
    versions: Object


class IterationRecord(_Record):
    number: int
    round: int
    size: int
    asked_at: Moment
    told_at: Moment | None
    ask_seconds: float
    tell_seconds: float
    mean_loss: float | None
    best_loss: float | None
    surrogate: Object | None
    environment: Object
    seen: list[int] | None


class TrialRecord(_Record):
    number: int
    iteration: int
    round: int
    source: Literal["proposed", "enqueued", "retried", "imported"]
    retry_of: int | None
    params: Object
    state: str
    loss: float | None
    metrics: Object | None
    attempts: int
    failures: int
    lost: int
    worker: str | None
    available_at: Moment
    claimed_at: Moment | None
    lease_until: Moment | None
    deadline_at: Moment | None
    finished_at: Moment | None
    error: str | None


class AttemptRecord(_Record):
    trial: int
    number: int
    worker: str
    claimed_at: Moment
    ended_at: Moment | None
    outcome: str | None
    loss: float | None
    seconds: float | None
    error: str | None


class WorkerRecord(_Record):
    name: str
    host: str
    pid: int
    versions: Object
    started_at: Moment
    last_seen_at: Moment
    stopped_at: Moment | None


class DatasetRecord(_Record):
    """`content` is in base64."""

    sha256: str
    name: str
    content: str


class Document(_Record):
    """A study as another ledger records it."""

    format: Literal["trial-ledger study"]
    version: Literal[1]
    study: StudyRecord
    iterations: list[IterationRecord]
    trials: list[TrialRecord]
    attempts: list[AttemptRecord]
    workers: list[WorkerRecord]
    dataset: DatasetRecord | None = None

    def snapshot(self) -> Snapshot:
        """Return it as the ledger that it came from would be read."""
        row = StudyRow(id=0, **{name: getattr(self.study, name) for name in StudyRecord.model_fields})
        # records have the attributes of rows
        lists: dict[str, Any] = {name: getattr(self, name) for name in ("iterations", "trials", "attempts")}
        return Snapshot(at=datetime.now(UTC), study=row, **lists)

    def kept(self) -> Dataset | None:
        """Return the file that the study trains on; None where it trains on none."""
        there = self.dataset
        return None if there is None else Dataset(there.sha256, there.name, b64decode(there.content))


def read(place: str, content: bytes) -> Document:
    """Read an export, and see that its records agree with each other.

    Parameters
    ----------
    place : str
        The file's name, for messages.

    Raises
    ------
    UsageError
        It is no export, one of another version, or damaged: one line with the place in it.
    LedgerError
        This version of the ledger cannot read the study's spec.
    """
    try:
        value = json.loads(content, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        if place.endswith(".csv"):
            way_out = f"`ledger import csv {place} --into NAME` brings in a table of finished trials"
        else:
            way_out = WRITE_IT
        raise UsageError(
            f"{place}:{error.lineno}: not JSON at column {error.colno} ({error.msg}), so no whole export: {way_out}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: not a json export ({one_line(str(error))}): {WRITE_IT}") from None
    _check_version(place, value)
    try:
        document = Document.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"]).lstrip(".")
        what = (
            found["msg"].replace("Input should", "must").replace("Field", "it is").replace("it is required", "missing")
        )
        raise UsageError(f"{place} is damaged at {where}: {show(found['input'])}: {what}; export it again") from None
    row = document.snapshot().study
    study = StudySpec.from_spec(row.name, row.budget, row.spec)
    _check_dataset(place, document, study)
    for difference in disagreements(document.snapshot(), study):
        raise UsageError(
            f"{place} disagrees with itself, {difference}: it is damaged, or was written while the study ran; pause the"
            " study and export it again"
        )
    return document


def import_study(store: Store, document: Document, name: str | None) -> StudyRow:
    """Insert the study of a document that was `read`, under its own name or under `name`, and return its row.

    Raises
    ------
    LedgerError
        The name is taken; or the database refuses what a record says. Nothing is written.
    """
    study = {**document.study.model_dump(), **({} if name is None else {"name": name})}
    _check_name(study["name"])
    inserted = store.restore(
        study,
        iterations=(dict(row) for row in document.iterations),
        trials=(dict(row) for row in document.trials),
        attempts=(dict(row) for row in document.attempts),
        workers=(dict(row) for row in document.workers),
        dataset=document.kept(),
    )
    if not inserted:
        raise LedgerError(f"study {study['name']} is here already: give the one of the file another name by --name")
    return store.study(study["name"])


def _check_dataset(place: str, document: Document, study: StudySpec) -> None:
    """Refuse a document whose dataset is not what its study's spec names."""
    data, there = study.objective.data, document.dataset
    if data is None:
        if there is not None:
            raise UsageError(f"{place} is damaged at dataset: its study trains on no file; export it again")
        return
    if there is None:
        raise UsageError(f"{place} is damaged: {data.name}, which its study trains on, is not in it; export it again")
    try:
        content = b64decode(there.content, validate=True)
    except ValueError as error:
        raise UsageError(f"{place} is damaged at dataset.content: {error}; export it again") from None
    if len(content) > tabular.LARGEST_FILE:
        raise UsageError(f"{place} is damaged at dataset.content: larger than any dataset of a ledger; export it again")
    if not tabular.digest(content) == data.sha256 == there.sha256:
        raise UsageError(
            f"{place} is damaged at dataset: its content has not the SHA-256 that the study names, {data.sha256};"
            " export it again"
        )


def _check_version(place: str, value: Any) -> None:
    if not isinstance(value, Mapping) or ("format" not in value and "trials" not in value):
        raise UsageError(f"{place} is JSON, but no export of a study: {WRITE_IT}")
    if "format" not in value:
        raise UsageError(
            f"{place} is an export from before there was an import, without some of what a study is: {WRITE_IT}"
        )
    if value["format"] != FORMAT:
        raise UsageError(f"{place} has format {show(value['format'])}, not {show(FORMAT)}: {WRITE_IT}")
    version = value.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UsageError(
            f"{place} is an export of version {version}, and this ledger reads up to {VERSION}: upgrade trial-ledger"
        )


def _check_name(name: str) -> None:
    try:
        StudyTable(name=name)
    except ValidationError as error:
        raise UsageError(str(error.errors()[0]["ctx"]["error"])) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
