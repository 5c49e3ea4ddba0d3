"""Registration of a study.

If the ledger already has the study, a registration with a larger budget extends the budget of the study.
"""

import logging

from sqlalchemy import Connection

from ledger.database import studies
from ledger.database.datasets import StoredDataset
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError
from ledger.logs import log_event
from ledger.proposals import environment
from ledger.study.spec import StudySpec, differences

_log = logging.getLogger("ledger.manager")


def record(connection: Connection, study: StudySpec) -> StudyRow | None:
    """Record the study and the study's data files in the ledger.

    Return None if the ledger already has a study with this name.
    """
    data = study.objective.data
    files = [
        StoredDataset(file.sha256, file.name, file.content)
        for file in (data.files if data is not None else ())
        if file.content is not None
    ]
    row = studies.create(connection, study.name, study.spec(), study.spec_hash, study.budget, environment(), files)
    if row is not None:
        log_event(_log, "created", f"study {row.name} created", study=row.name)
    return row


def register(connection: Connection, study: StudySpec) -> StudyRow:
    """Record the study. If the ledger already has this study with the same settings, extend the study's budget.

    Raises
    ------
    LedgerError
        The ledger already has a study with this name, and the recorded study has different settings or a larger budget.
        The error message lists the settings in which the requested study differs from the recorded study.
    """
    row = record(connection, study)
    if row is not None:
        return row
    row = studies.get(connection, study.name)
    differing = differences(StudySpec.from_spec(row.name, row.budget, row.spec), study)
    if differing:
        raise LedgerError(
            f"study {row.name} exists with different settings ({'; '.join(differing)}): choose another --name, or"
            f" continue the existing study with `ledger resume {row.name}`"
        )
    extend(connection, row, study.budget)
    return studies.get(connection, study.name)


def extend(connection: Connection, study: StudyRow, budget: int) -> None:
    """Extend the budget of a study to `budget` trials.

    Raises
    ------
    LedgerError
        The study was cancelled, or the study's budget is already larger than `budget`.
    """
    if budget < study.budget:
        raise LedgerError(
            f"study {study.name} has a budget of {study.budget} trials; the budget of a study cannot be reduced"
        )
    answer = studies.extend(connection, study.id, budget)
    if answer == "cancelled":
        raise LedgerError(f"study {study.name} was cancelled, which is final: start a study with a new --name")
    if answer == "extended":
        message = f"study {study.name}: budget extended from {study.budget} to {budget} trials"
        log_event(_log, "extended", message, study=study.name, budget=budget)
