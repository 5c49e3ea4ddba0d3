"""optuna: an SQLite file that Optuna reads and goes on with, written through Optuna's own API."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ledger.database import trials
from ledger.database.rows import StudyRow, TrialRow
from ledger.errors import LedgerError, UsageError
from ledger.export.files import whole_path
from ledger.optuna.connect import check_version

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_STATES = {
    "pending": "WAITING",
    "running": "RUNNING",
    "complete": "COMPLETE",
    "failed": "FAIL",
    "cancelled": "FAIL",
}


def write_optuna(connection: Connection, study: StudyRow, path: Path) -> None:
    """Write a study as a storage of Optuna's with this one study, the same as Optuna reads it in the ledger.

    Raises
    ------
    UsageError
        There is a file at `path`: a storage may hold other studies, which would be lost.
    LedgerError
        Optuna is not installed or not supported, or the file cannot be written.
    """
    check_version("optuna")
    if path.exists():
        raise UsageError(f"--output: {path} is there already, and may hold other studies: name a new file")
    import optuna

    with whole_path(path) as part:

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(part, check_same_thread=False)
            # half a file is removed, so that nothing of it has to survive
            connection.execute("pragma synchronous = off")
            connection.execute("pragma journal_mode = memory")
            return connection

        said = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect})
        try:
            written = optuna.create_study(storage=storage, study_name=study.name, direction="minimize")
            for name, value in _study_attributes(study).items():
                written.set_user_attr(name, value)
            written.add_trials(_trials(connection, study))
        finally:
            optuna.logging.set_verbosity(said)
            storage.remove_session()
            storage.engine.dispose()


def distributions(space: list[dict[str, Any]]) -> "dict[str, BaseDistribution]":
    """Return a space, as a study's spec has it, in Optuna's terms."""
    from optuna import distributions as of

    found: dict[str, BaseDistribution] = {}
    for dimension in space:
        if dimension["type"] == "categorical":
            found[dimension["name"]] = of.CategoricalDistribution(dimension["choices"])
        else:
            kind = of.IntDistribution if dimension["type"] == "integer" else of.FloatDistribution
            log = dimension["prior"] == "log-uniform"
            found[dimension["name"]] = kind(dimension["low"], dimension["high"], log=log)
    return found


def _study_attributes(study: StudyRow) -> dict[str, Any]:
    given = {**study.spec, "budget": study.budget, "reason": study.reason, "state": study.state}
    return {name: value for name, value in given.items() if value is not None}


def _trials(connection: Connection, study: StudyRow) -> "Iterator[FrozenTrial]":
    space = distributions(study.spec["space"])
    for page in trials.pages(connection, study.id):
        for row in page:
            try:
                yield _trial(row, space)
            except ValueError as error:
                raise LedgerError(f"Optuna does not take trial {row.number} of study {study.name}: {error}") from None


def _trial(row: TrialRow, space: "dict[str, BaseDistribution]") -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial

    # JSON has one kind of number
    params = {name: of.to_external_repr(of.to_internal_repr(row.params[name])) for name, of in space.items()}
    attributes = {
        "attempts": row.attempts,
        "cancelled": True if row.state == "cancelled" else None,
        "error": row.error,
        "iteration": row.iteration,
        "retry_of": row.retry_of,
        "source": row.source,
        "worker": row.worker,
    }
    trial = create_trial(
        state=TrialState[_STATES[row.state]],
        value=row.loss,
        params=params,
        distributions=space,
        user_attrs={
            **{name: value for name, value in attributes.items() if value is not None},
            **{f"metrics_{name}": value for name, value in (row.metrics or {}).items()},
        },
    )
    if row.state != "pending":
        # one that never started, and ended, started at its end
        trial.datetime_start = row.claimed_at or row.finished_at
    trial.datetime_complete = row.finished_at
    return trial
