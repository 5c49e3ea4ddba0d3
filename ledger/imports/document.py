"""Import of a whole study from a JSON file that `ledger.export.documents.write_json` has written."""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    create_model,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function
from sqlalchemy import Connection

from ledger.database import transfer
from ledger.database.bounds import (
    LARGEST_REPORT,
    LARGEST_STEP,
    LONGEST_ERROR,
    LONGEST_NOTE,
    LONGEST_SOURCE,
    json_fault,
    moment_fault,
    text_fault,
)
from ledger.database.datasets import StoredDataset
from ledger.database.rows import (
    SOURCES,
    AnnotationRow,
    AttemptRow,
    CodeVersionRow,
    CutoffRow,
    IterationRow,
    PromotionRow,
    ReportRow,
    StudyRow,
    TrialRow,
    VerdictRow,
    WorkerRow,
    export_columns,
    recorded,
)
from ledger.database.transfer import ImportedStudy, StudySnapshot
from ledger.database.verdicts import RecordedStopping, RungReport
from ledger.errors import LedgerError, UsageError
from ledger.export.documents import FORMAT, VERSION
from ledger.objectives import tabular
from ledger.study.names import check_name
from ledger.study.objective import FileDataset, HoldoutFile
from ledger.study.reached_rungs import ReportedSteps, rung_places
from ledger.study.spec import StudySpec
from ledger.text import one_line, show
from ledger.verification import disagreements

WRITE_IT = "write an export by `ledger export NAME --output FILE`"


def _checked(describe: Callable[[Any], str | None]) -> AfterValidator:
    """Return a pydantic validator that refuses a value if the function `describe` finds a fault in the value.

    The database also refuses a faulty value, but the message of the database does not name the place of the value in
    the file.
    """

    def check(value: Any) -> Any:
        fault = describe(value)
        if fault is not None:
            raise ValueError(fault)
        return value

    return AfterValidator(check)


# JSON has no type for times. In the export, a time is a text, and pydantic converts the text to a datetime.
Moment = Annotated[AwareDatetime, Field(strict=False), _checked(moment_fault)]
Json = Annotated[dict[str, Any], _checked(json_fault)]
Note = Annotated[str, _checked(partial(text_fault, longest=LONGEST_NOTE))]
ReportMetrics = Annotated[dict[str, Any], _checked(partial(json_fault, largest=LARGEST_REPORT))]
Step = Annotated[int, Field(ge=0, le=LARGEST_STEP)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Line = Annotated[str, _checked(partial(text_fault, longest=LONGEST_ERROR))]


class _ExportModel(BaseModel):
    """Base class of the pydantic models that validate an exported study.

    The models refuse unknown keys. The models also refuse infinite numbers and NaN.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class _RowSchema:
    """A type annotation that tells pydantic how to validate an exported row, such as a `TrialRow`.

    The annotation tells pydantic which fields of the row's class an export contains.

    An export contains no column that a database view computes. The dict `computed` contains a value for each column
    that a database view computes.
    """

    def __init__(self, computed: dict[str, Any] | None = None, **narrower: Any) -> None:
        self._computed, self._narrower = computed or {}, narrower

    def __get_pydantic_core_schema__(self, row: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = {
            datetime: Moment,
            datetime | None: Moment | None,
            str: Line,
            str | None: Line | None,
            dict[str, Any]: Json,
            dict[str, Any] | None: Json | None,
        }
        types = {name: type_ for name, type_ in get_type_hints(row).items() if name in export_columns(row)}
        # An export of an older version lacks the columns that are newer. Such a column has a default.
        defaults = {each.name: each.default for each in dataclass_fields(row) if each.default is not MISSING}
        fields: dict[str, Any] = {
            name: (bounded.get(type_, type_), defaults.get(name, ...))
            for name, type_ in {**types, **self._narrower}.items()
        }
        record = create_model(row.__name__, __base__=_ExportModel, **fields)
        return no_info_after_validator_function(
            lambda read: row(**self._computed, **dict(read)), handler.generate_schema(record)
        )


class DatasetRecord(_ExportModel):
    """The record of a study's data file in an exported study.

    The field `content` is a text that contains the content of the data file in base64.
    """

    sha256: str
    name: str
    content: str


@dataclass(frozen=True)
class _AttemptReports(ReportedSteps):
    """The reports of an attempt, in ascending order of the steps."""

    rows: Sequence[ReportRow]


class StudyDocument(_ExportModel):
    """The JSON document that `ledger export` writes for a study."""

    format: Literal["trial-ledger study"]
    version: Literal[1]
    study: Annotated[StudyRow, _RowSchema({"id": 0, "archived_at": None})]
    iterations: list[Annotated[IterationRow, _RowSchema()]]
    trials: list[Annotated[TrialRow, _RowSchema({"seconds": None}, source=Literal[SOURCES])]]
    attempts: list[Annotated[AttemptRow, _RowSchema()]]
    workers: list[Annotated[WorkerRow, _RowSchema({"alive": False, "study": None, "trial": None})]]
    code_versions: list[Annotated[CodeVersionRow, _RowSchema()]]
    reports: list[
        Annotated[
            ReportRow, _RowSchema({"seconds": None}, step=Step, after_step=Step | None, metrics=ReportMetrics | None)
        ]
    ] = []
    cutoffs: list[Annotated[CutoffRow, _RowSchema(rung=Step, iteration=Count, group_number=Count)]] = []
    verdicts: list[Annotated[VerdictRow, _RowSchema({"promoted_at": None}, rung=Step, step=Step)]] = []
    promotions: list[Annotated[PromotionRow, _RowSchema(rung=Step)]] = []
    annotations: list[Annotated[AnnotationRow, _RowSchema(note=Note | None)]] = []
    sources: dict[str, Annotated[str, _checked(partial(text_fault, longest=LONGEST_SOURCE))]]
    dataset: DatasetRecord | None = None
    holdout: DatasetRecord | None = None

    def snapshot(self) -> StudySnapshot:
        """Return a snapshot of the exported study."""
        reported = self._reported()
        return StudySnapshot(
            at=datetime.now(UTC),
            study=self.study,
            iterations=self.iterations,
            trials=self.trials,
            attempts=self.attempts,
            code_versions=self.code_versions,
            sources=self.sources,
            stopping=RecordedStopping(
                sorted(self.cutoffs, key=lambda row: (row.iteration, row.rung, row.group_number)),
                sorted(self.verdicts, key=lambda row: (row.trial, row.rung)),
                sorted(self.promotions, key=lambda row: (row.trial, row.rung)),
                self._rung_reports(reported),
                {trial: [(each.first, each.steps[-1]) for each in attempts] for trial, attempts in reported.items()},
            ),
        )

    def _reported(self) -> dict[int, list[_AttemptReports]]:
        """Return the attempts with reports of each trial, in the order of the attempts."""
        of_trials: dict[int, dict[int, list[ReportRow]]] = {}
        for report in sorted(self.reports, key=lambda report: (report.trial, report.attempt, report.step)):
            of_trials.setdefault(report.trial, {}).setdefault(report.attempt, []).append(report)
        return {
            trial: [
                _AttemptReports([row.step for row in rows], [row.after_step for row in rows], rows)
                for rows in attempts.values()
            ]
            for trial, attempts in of_trials.items()
        }

    def _rung_reports(self, reported: Mapping[int, Sequence[_AttemptReports]]) -> dict[tuple[int, int], RungReport]:
        found = {}
        for verdict in self.verdicts:
            attempts = reported.get(verdict.trial, ())
            places = rung_places(attempts, verdict.rung)
            if places is not None:
                attempt, place = places.loss
                last = attempts[attempt].rows[place]
                found[verdict.trial, verdict.rung] = RungReport(last.attempt, last.step, last.loss, last.reported_at)
        return found

    def kept(self) -> list[StoredDataset]:
        """Return the data files of the study."""
        files = [file for file in (self.dataset, self.holdout) if file is not None]
        return [StoredDataset(file.sha256, file.name, b64decode(file.content)) for file in files]


def read(place: str, content: bytes) -> StudyDocument:
    """Read the export of a study, and check that no record in the export contradicts another record.

    Parameters
    ----------
    place : str
        The name of the file, for error messages.

    Raises
    ------
    UsageError
        The file is damaged, is not an export of a study, or has an export version that this program cannot read. The
        message is one line that names the place of the error in the file.
    LedgerError
        The installed version of the program cannot read the study's spec.
    """
    try:
        value = json.loads(content, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        if place.endswith(".csv"):
            way_out = f"`ledger import csv {place} --into NAME` imports a table of finished trials"
        else:
            way_out = WRITE_IT
        raise UsageError(
            f"{place}:{error.lineno}: not JSON at column {error.colno} ({error.msg}), so the file is not a complete"
            f" export: {way_out}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: not a json export ({one_line(str(error))}): {WRITE_IT}") from None
    _check_version(place, value)
    try:
        document = StudyDocument.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
        what = fault["msg"].removeprefix("Value error, ").replace("Input should", "must")
        what = what.replace("Field", "it is").replace("it is required", "missing")
        raise UsageError(
            f"{place} is damaged at {where}: {show(fault['input'])}: {what}; export the study again"
        ) from None
    study = StudySpec.from_spec(document.study.name, document.study.budget, document.study.spec)
    data = study.objective.data
    _check_file(place, "dataset", document.dataset, data)
    _check_file(place, "holdout", document.holdout, None if data is None else data.holdout)
    attempts = {(attempt.trial, attempt.number) for attempt in document.attempts}
    of_attempts: dict[str, Sequence[ReportRow | VerdictRow]] = {
        "reports": document.reports,
        "verdicts": document.verdicts,
    }
    for name, rows in of_attempts.items():
        for index, row in enumerate(rows):
            if (row.trial, row.attempt) not in attempts:
                raise UsageError(
                    f"{place} is damaged at {name}[{index}]: trial {row.trial} has no attempt {row.attempt}; export"
                    " the study again"
                )
    _check_reports(place, document.reports, study)
    for difference in disagreements(document.snapshot(), study):
        raise UsageError(
            f"{place} contains contradictory records, {difference}: the file is damaged, or was written while the study"
            " ran; pause the study, and export the study again"
        )
    return document


def import_study(connection: Connection, document: StudyDocument, name: str | None) -> StudyRow:
    """Insert a study from a document into the ledger, and return the row of the inserted study.

    Parameters
    ----------
    document : StudyDocument
        The document that `read` has returned.
    name : str or None
        Name of the new study. If `name` is None, the new study has the name in the document.

    Raises
    ------
    LedgerError
        The ledger already contains a study with the name of the new study, or the database refuses a record. If the
        function raises a LedgerError, the function has written nothing to the ledger.
    """
    study = {**recorded(document.study), **({} if name is None else {"name": name})}
    check_name(study["name"])
    whole = ImportedStudy(
        study,
        iterations=map(recorded, document.iterations),
        trials=map(recorded, document.trials),
        attempts=map(recorded, document.attempts),
        workers=map(recorded, document.workers),
        code_versions=map(recorded, document.code_versions),
        sources=document.sources,
        annotations=map(recorded, document.annotations),
        reports=map(recorded, document.reports),
        cutoffs=map(recorded, document.cutoffs),
        verdicts=map(recorded, document.verdicts),
        promotions=map(recorded, document.promotions),
        files=document.kept(),
    )
    row = transfer.restore(connection, whole)
    if row is None:
        raise LedgerError(f"study {study['name']} exists in this ledger: give the imported study another --name")
    return row


def _check_file(place: str, key: str, there: DatasetRecord | None, data: FileDataset | HoldoutFile | None) -> None:
    """Raise UsageError if the file `there` from the document differs from the data file `data` in the study's spec."""
    if data is None:
        if there is not None:
            raise UsageError(f"{place} is damaged at {key}: the study does not use this file; export the study again")
        return
    if there is None:
        raise UsageError(f"{place} is damaged: the study's {key} {data.name} is missing; export the study again")
    try:
        content = b64decode(there.content, validate=True)
    except ValueError as error:
        raise UsageError(f"{place} is damaged at {key}.content: {error}; export the study again") from None
    if len(content) > tabular.LARGEST_FILE:
        raise UsageError(
            f"{place} is damaged at {key}.content: the content exceeds {tabular.LARGEST_FILE} bytes, the maximum size"
            " of a dataset; export the study again"
        )
    if not tabular.digest(content) == data.sha256 == there.sha256:
        raise UsageError(
            f"{place} is damaged at {key}: the SHA-256 of the content differs from the SHA-256 of the study's {key},"
            f" {data.sha256}; export the study again"
        )


def _check_reports(place: str, reports: Sequence[ReportRow], study: StudySpec) -> None:
    """Raise UsageError if a report contradicts itself or another report.

    The value of a report must follow from its loss. An attempt reports a step once. The attempt must have reported the
    step of an `after_step`.
    """
    steps: dict[tuple[int, int], set[int]] = {}
    for index, row in enumerate(reports):
        known = steps.setdefault((row.trial, row.attempt), set())
        if row.step in known:
            raise UsageError(
                f"{place} is damaged at reports[{index}].step: attempt {row.attempt} of trial {row.trial} has another"
                f" report of step {row.step}; export the study again"
            )
        known.add(row.step)
        follows = None if row.loss is None else study.objective.value(row.loss, None)
        if row.value != follows:
            raise UsageError(
                f"{place} is damaged at reports[{index}].value: {row.value}: the loss {row.loss} results in the value"
                f" {follows}; export the study again"
            )
    for index, row in enumerate(reports):
        if row.after_step is None:
            continue
        if row.after_step <= row.step or row.after_step not in steps[row.trial, row.attempt]:
            raise UsageError(
                f"{place} is damaged at reports[{index}].after_step: {row.after_step}: must be a step above {row.step}"
                f" that attempt {row.attempt} of trial {row.trial} reported; export the study again"
            )


def _check_version(place: str, value: Any) -> None:
    if not isinstance(value, Mapping) or ("format" not in value and "trials" not in value):
        raise UsageError(f"{place} is JSON, but not an export of a study: {WRITE_IT}")
    if "format" not in value:
        raise UsageError(
            f"{place} is an export from an old version of the ledger, so the file does not contain the whole study:"
            f" {WRITE_IT}"
        )
    if value["format"] != FORMAT:
        raise UsageError(f"{place} has format {show(value['format'])}, not {show(FORMAT)}: {WRITE_IT}")
    version = value.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UsageError(
            f"{place} is an export of version {version}, but the installed trial-ledger reads only versions up to"
            f" {VERSION}: upgrade trial-ledger"
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the value {name} is not valid JSON")
