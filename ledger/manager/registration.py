"""Registration of a study.

If the ledger already has the study, a registration can extend the study's budget and change the study's stopping
criteria.
"""

import logging
from typing import Any

from sqlalchemy import Connection

from ledger.database import codes, studies, trials
from ledger.database.datasets import StoredDataset
from ledger.database.rows import StudyRow
from ledger.errors import LedgerError
from ledger.logs import log_event
from ledger.manager.objective_change import CodeLockedError, IfChanged, accept, changed_parts, name_of_new, refusal
from ledger.objectives.fingerprint import ObjectiveCode
from ledger.objectives.pickled import is_in_script
from ledger.proposals import environment
from ledger.study.criteria import StoppingCriteria
from ledger.study.spec import StudySpec, differences

_log = logging.getLogger("ledger.manager")


def record(connection: Connection, study: StudySpec, code: ObjectiveCode | None = None) -> StudyRow | None:
    """Record the study, the study's data files and the code of the study's objective in the ledger.

    If the ledger already contains a study with the name of `study`, return None.
    """
    data = study.objective.data
    files = [
        StoredDataset(file.sha256, file.name, file.content)
        for file in (data.files if data is not None else ())
        if file.content is not None
    ]
    row = studies.create(
        connection,
        study.name,
        study.spec(),
        study.spec_hash,
        study.budget,
        environment(),
        files,
        None if code is None else code.to_json(),
        **_columns(study.criteria),
    )
    if row is not None:
        log_event(_log, "created", f"study {row.name} created", study=row.name)
    return row


def register(
    connection: Connection, study: StudySpec, code: ObjectiveCode | None = None, if_changed: IfChanged = "refuse"
) -> StudyRow:
    """Record a study, or update the recorded study if the recorded settings are equal to the new settings.

    For an existing study, the function extends the budget, and sets the stopping criteria.

    Parameters
    ----------
    code : ObjectiveCode, optional
        The code of the objective on this machine. `code` is None if this machine has not loaded the objective.
    if_changed : {"refuse", "accept", "new"}
        The reaction of the ledger if the code differs from the recorded code. With "refuse", the ledger accepts the new
        code only if no trial of the study is complete.

    Raises
    ------
    LedgerError
        The study's recorded settings differ from the new settings, the recorded code differs from the new code, or the
        recorded budget is larger than the new budget. The error message lists the differences between the settings, or
        the changed parts of the code.
    """
    row = record(connection, study, code)
    if row is not None:
        return row
    row = studies.get(connection, study.name)
    recorded = StudySpec.from_spec(row.name, row.budget, row.spec)
    differing = differences(recorded.model_copy(update={"batch_size": row.batch_size}), study)
    if differing:
        way_out = "choose another name"
        # If the recorded space or the recorded objective differs from the new settings, the new settings describe a
        # different search.
        if not any(difference.startswith(("space", "objective")) for difference in differing):
            option = f" --batch-size {study.batch_size}" if row.batch_size != study.batch_size else ""
            continued = f"with `ledger resume {row.name}{option}`"
            if is_in_script(row.spec["objective"]):
                continued = "with its recorded settings"
            way_out += f", or continue the existing study {continued}"
        raise LedgerError(f"study {row.name} exists with different settings ({'; '.join(differing)}): {way_out}")
    if code is not None:
        versions = codes.versions_of(connection, row.id)
        changed = changed_parts(versions[-1], code) if versions else []
        if changed and if_changed == "new":
            another = study.model_copy(update={"name": name_of_new(study.name, code)})
            return register(connection, another, code)
        # If no trial is complete, for example after a failed first batch, the ledger accepts the new code.
        if changed and if_changed == "refuse" and trials.best(connection, row.id) is not None:
            raise refusal(row, changed)
        try:
            accept(connection, row, code)
        except CodeLockedError:
            # A worker is now recording the first version of the study's code. The next worker compares its own code
            # with the first version.
            if versions:
                raise
    extend(connection, row, study.budget)
    set_criteria(connection, row, study.criteria)
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
    _refuse_cancelled(study, answer)
    if answer == "extended":
        message = f"study {study.name}: budget extended from {study.budget} to {budget} trials"
        log_event(_log, "extended", message, study=study.name, budget=budget)


def set_batch_size(connection: Connection, study: StudyRow, batch_size: int) -> None:
    """Change the batch size of a study. The next proposal uses the new batch size.

    Raises
    ------
    LedgerError
        The study was cancelled.
    """
    answer = studies.set_batch_size(connection, study.id, batch_size)
    _refuse_cancelled(study, answer)
    if answer == "changed":
        message = f"study {study.name}: batch size changed from {study.batch_size} to {batch_size}"
        log_event(_log, "batch size", message, study=study.name, batch_size=batch_size)


def criteria_of(study: StudyRow) -> StoppingCriteria:
    """Return the recorded stopping criteria of a study."""
    return StoppingCriteria(study.target, study.patience, study.timeout_seconds)


def set_criteria(connection: Connection, study: StudyRow, criteria: StoppingCriteria) -> None:
    """Set the stopping criteria of a study.

    If a criterion has ended the study and the study meets none of the new criteria, the study continues.

    Raises
    ------
    LedgerError
        The study was cancelled.
    """
    answer = studies.set_criteria(connection, study.id, **_columns(criteria))
    _refuse_cancelled(study, answer)
    if answer == "changed":
        columns = _columns(criteria)
        shown = ", ".join(f"{name} {value}" for name, value in vars(criteria).items() if value is not None)
        message = f"study {study.name}: stopping criteria changed to {shown or 'none'}"
        log_event(_log, "criteria", message, study=study.name, **columns)


def _columns(criteria: StoppingCriteria) -> dict[str, Any]:
    return {"target": criteria.target, "patience": criteria.patience, "timeout_seconds": criteria.timeout}


def _refuse_cancelled(study: StudyRow, answer: str) -> None:
    if answer == "cancelled":
        raise LedgerError(f"study {study.name} was cancelled, which is final: start a study with a new --name")
