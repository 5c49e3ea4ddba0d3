"""Export of a study as an Optuna storage in an SQLite file. Optuna can open the file and continue the study."""

import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ledger.database import annotations, reports, trials
from ledger.database.rows import AnnotationRow, ReportRow, StudyRow, TrialRow
from ledger.errors import LedgerError, UsageError
from ledger.export.files import whole_path
from ledger.objectives import value_scale
from ledger.optuna.connect import check_version

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

_STATES = {
    "pending": "WAITING",
    "running": "RUNNING",
    # Like this export, the database views for Optuna show a paused trial as running. Optuna draws the intermediate
    # values of a running trial, but it does not draw intermediate values of a waiting trial.
    "paused": "RUNNING",
    "complete": "COMPLETE",
    "pruned": "PRUNED",
    "failed": "FAIL",
    "cancelled": "FAIL",
}


def write_optuna(connection: Connection, study: StudyRow, path: Path) -> None:
    """Use Optuna's API to write a study into a new Optuna storage.

    The study in the new storage is equal to the study that the ledger's database views show to Optuna.

    Parameters
    ----------
    connection : Connection
    study : StudyRow
    path : Path
        Path of the new file. The file must not exist before the call.

    Raises
    ------
    UsageError
        The file already exists. An export to an existing file would delete the studies in the file.
    LedgerError
        No supported version of Optuna is installed, Optuna refuses a trial, or the file cannot be written.
    """
    check_version("optuna")
    if path.exists():
        raise UsageError(f"--output: {path} exists, and may contain other studies: name a new file")
    import optuna

    with whole_path(path) as part:

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(part, check_same_thread=False)
            # The function renames the new file to `path` only at the end. Therefore SQLite does not have to protect the
            # new file against a crash.
            connection.execute("pragma synchronous = off")
            connection.execute("pragma journal_mode = memory")
            return connection

        scale = value_scale(study.spec["objective"])
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect})
        annotated = {row.trial: row for row in annotations.of_all(connection, study.id)}
        try:
            exported = optuna.create_study(storage=storage, study_name=study.name, direction=scale.direction)
            best = trials.best(connection, study.id)
            best_value = None if best is None else best.value
            for name, value in _study_attributes(study, best_value, annotated.get(None)).items():
                exported.set_user_attr(name, value)
            exported.add_trials(_trials(connection, study, annotated))
            _write_notes(storage, study.name, annotated)
        finally:
            optuna.logging.set_verbosity(verbosity)
            storage.remove_session()
            storage.engine.dispose()


def distributions(space: list[dict[str, Any]]) -> "dict[str, BaseDistribution]":
    """Return a dict that maps the name of each parameter to an Optuna distribution.

    Parameters
    ----------
    space : list of dict
        The search space. The list is the value of the key `space` in the study's spec.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def bounds(table: dict[str, Any]) -> dict[str, Any]:
        step = {"step": table["step"]} if "step" in table else {}
        return {"low": table["low"], "high": table["high"], "log": table.get("prior") == "log-uniform", **step}

    kinds: dict[str, Callable[[dict[str, Any]], BaseDistribution]] = {
        "real": lambda table: FloatDistribution(**bounds(table)),
        "integer": lambda table: IntDistribution(**bounds(table)),
        "categorical": lambda table: CategoricalDistribution([optuna_choice(choice) for choice in table["choices"]]),
    }
    return {table["name"]: kinds[table["type"]](table) for table in space}


def optuna_choice(choice: Any) -> Any:
    """Convert a choice of a categorical parameter into a choice that Optuna supports.

    In Optuna, a choice can be None, a boolean, a number or a text. The function converts a list or a dict into a JSON
    text. The view `optuna.trial_params` contains exactly the text that the function returns.

    Examples
    --------
    >>> optuna_choice(None), optuna_choice([64, 1e-7, "a"])
    (None, '[64, 0.0000001, "a"]')
    """
    return _postgresql_json(choice) if isinstance(choice, list | dict) else choice


def _postgresql_json(value: Any) -> str:
    """Return the text that PostgreSQL writes for a JSON value.

    The text contains no exponents and no escaped letters.
    """
    if isinstance(value, dict):
        items = (f"{_postgresql_json(key)}: {_postgresql_json(inner)}" for key, inner in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_postgresql_json, value)) + "]"
    return f"{Decimal(repr(value)):f}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _study_attributes(study: StudyRow, best_value: float | None, annotation: AnnotationRow | None) -> dict[str, Any]:
    columns = ("batch_size", "budget", "reason", "state", "target", "patience", "timeout_seconds", "stopped_by")
    facts = {**study.spec, **{name: getattr(study, name) for name in columns}}
    facts |= {"best_value": best_value, "tags": _tags(annotation)}
    return _with_attributes({name: value for name, value in facts.items() if value is not None}, facts, annotation)


def _with_attributes(
    shown: dict[str, Any], facts: Mapping[str, Any], annotation: AnnotationRow | None
) -> dict[str, Any]:
    """Return a dict that contains the attributes in `shown` and the attributes that a user has set.

    If `facts` contains the name of a user's attribute, the function adds the prefix ``attributes_`` to the name. The
    database views for Optuna add the same prefix ``attributes_`` to the name of a user's attribute.
    """
    own = {} if annotation is None else annotation.attributes
    return {**shown, **{f"attributes_{name}" if name in facts else name: value for name, value in own.items()}}


def _tags(annotation: AnnotationRow | None) -> list[str] | None:
    return annotation.tags or None if annotation is not None else None


def _write_notes(storage: "RDBStorage", study: str, annotated: Mapping[int | None, AnnotationRow]) -> None:
    """Write the notes of the study and of the trials in the format that optuna-dashboard reads."""
    study_id = storage.get_study_id_from_name(study)
    for number, annotation in annotated.items():
        if annotation.note is None:
            continue
        prefix = "dashboard:"
        if number is not None:
            prefix += f"{storage.get_trial_id_from_study_id_trial_number(study_id, number)}:"
        storage.set_study_system_attr(study_id, f"{prefix}note_ver", 1)
        storage.set_study_system_attr(study_id, f"{prefix}note_str:0", annotation.note)


def _trials(
    connection: Connection, study: StudyRow, annotated: Mapping[int | None, AnnotationRow]
) -> "Iterator[FrozenTrial]":
    space = distributions(study.spec["space"])
    for page in trials.pages(connection, study.id):
        reported = reports.of_trials(connection, study.id, page[0].number, page[-1].number)
        for row in page:
            try:
                yield _trial(row, space, annotated.get(row.number), reported.get(row.number, ()))
            except ValueError as error:
                raise LedgerError(f"Optuna refuses trial {row.number} of study {study.name}: {error}") from None


def _trial(
    row: TrialRow,
    space: "dict[str, BaseDistribution]",
    annotation: AnnotationRow | None,
    reported: Sequence[ReportRow],
) -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial

    # JSON does not distinguish 1 from 1.0, so Optuna's distribution converts each value into the type of the parameter.
    params = {
        name: distribution.to_external_repr(distribution.to_internal_repr(optuna_choice(row.params[name])))
        for name, distribution in space.items()
    }
    facts = {
        "attempts": row.attempts,
        "cancelled": True if row.state == "cancelled" else None,
        "error": row.error,
        "iteration": row.iteration,
        "retry_of": row.retry_of,
        "source": row.source,
        "tags": _tags(annotation),
        "worker": row.worker,
    }
    metrics = {f"metrics_{name}": value for name, value in (row.metrics or {}).items()}
    shown = {name: value for name, value in facts.items() if value is not None}
    trial = create_trial(
        state=TrialState[_STATES[row.state]],
        value=row.value,
        intermediate_values={report.step: math.nan if report.value is None else report.value for report in reported},
        params=params,
        distributions=space,
        user_attrs=_with_attributes({**shown, **metrics}, {**facts, **metrics}, annotation),
    )
    if row.state != "pending":
        # If no worker claimed the trial before the trial ended, the trial has no start time. If a trial has no start
        # time, the export uses the trial's end time as the start time.
        trial.datetime_start = row.claimed_at or row.finished_at
    trial.datetime_complete = row.finished_at
    return trial
