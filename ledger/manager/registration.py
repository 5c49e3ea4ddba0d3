"""Registers studies: records a study, or finds it with the same settings and extends its budget."""

import logging

from sqlalchemy import Connection

from ledger.database import studies
from ledger.database.datasets import Dataset
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError
from ledger.logs import log_event
from ledger.proposals import environment
from ledger.study.spec import StudySpec, differences

_log = logging.getLogger("ledger.manager")


def record(connection: Connection, study: StudySpec) -> StudyRow | None:
    """Record the study, with the file that it trains on. Returns None where its name is taken."""
    data = study.objective.data
    dataset = None if data is None or data.content is None else Dataset(data.sha256, data.name, data.content)
    row = studies.create(connection, study.name, study.spec(), study.spec_hash, study.budget, environment(), dataset)
    if row is not None:
        log_event(_log, "created", f"study {row.name} created", study=row.name)
    return row


def register(connection: Connection, study: StudySpec) -> StudyRow:
    """Record the study, or find it with the same settings and extend its budget.

    Raises
    ------
    LedgerError
        A study of this name has other settings or a larger budget; the message lists the differences.
    """
    row = record(connection, study)
    if row is not None:
        return row
    row = studies.get(connection, study.name)
    differing = differences(StudySpec.from_spec(row.name, row.budget, row.spec), study)
    if differing:
        raise LedgerError(
            f"study {row.name} exists with other settings ({'; '.join(differing)}): give this study another --name, or"
            f" continue that study by `ledger resume {row.name}`"
        )
    extend(connection, row, study.budget)
    return studies.get(connection, study.name)


def extend(connection: Connection, study: StudyRow, budget: int) -> None:
    """Extend the budget of a study, a number of trials.

    Raises
    ------
    LedgerError
        The study was cancelled, or its budget is larger.
    """
    if budget < study.budget:
        raise LedgerError(f"study {study.name} has a budget of {study.budget} trials, and a budget only grows")
    answer = studies.extend(connection, study.id, budget)
    if answer == "cancelled":
        raise LedgerError(f"study {study.name} was cancelled, which is final: start another with a new --name")
    if answer == "extended":
        message = f"study {study.name}: budget extended from {study.budget} to {budget} trials"
        log_event(_log, "extended", message, study=study.name, budget=budget)
