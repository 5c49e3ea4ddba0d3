"""Functions that detect changed code of an objective, and record the new code if the user accepts the change."""

import logging
from typing import Literal, TypeAlias, get_args

from sqlalchemy import Connection

from ledger.database import codes
from ledger.database.rows import CodeVersionRow, StudyRow
from ledger.errors import LedgerError, UsageError
from ledger.logs import log_event
from ledger.objectives.fingerprint import ObjectiveCode, changes, parts_from_json
from ledger.text import nearest

_log = logging.getLogger("ledger.manager")

IfChanged: TypeAlias = Literal["refuse", "accept", "new"]
"""The action if the code of a study's objective differs from the recorded code.

"refuse" raises an error. "accept" records the new code for the next trials. "new" starts another study, whose name
contains a part of the code's hash.
"""


class ObjectiveChangedError(LedgerError):
    """An exception that reports that the code of a study's objective differs from the recorded code.

    The message describes how the user can continue in Python. Instead of the Python arguments, a command shows its own
    options.

    Parameters
    ----------
    message : str
        The error message, which is one line.
    difference : str
        The part of the message that names the study and the changes.
    """

    def __init__(self, message: str, difference: str = "") -> None:
        super().__init__(message)
        self.difference = difference


class CodeLockedError(LedgerError):
    """An exception that the ledger raises if another session is recording a code version of the same study."""


def check_if_changed(value: str) -> None:
    """Raise a UsageError if `value` is not one of the values of `IfChanged`."""
    if value not in get_args(IfChanged):
        raise UsageError(f"if_changed {value!r} is unknown{nearest(value, get_args(IfChanged))}")


def changed_parts(recorded: CodeVersionRow, code: ObjectiveCode) -> list[str]:
    """Describe the differences between a recorded code version and the present code.

    If no difference exists, the list is empty.
    """
    return [] if recorded.sha256 == code.sha256 else changes(parts_from_json(recorded.parts), code.parts)


def accept(connection: Connection, study: StudyRow, code: ObjectiveCode) -> list[str]:
    """Record `code` as the new valid version of a study's code, unless `code` is equal to the valid version.

    Return a list of the changes. The list is empty if the ledger had no version of the study's code, or if `code` is
    equal to the valid version.
    """
    while True:
        versions = codes.versions_of(connection, study.id)
        changed = changed_parts(versions[-1], code) if versions else []
        if versions and not changed:
            return []
        known = versions[-1].number if versions else None
        answer = codes.record(connection, study.id, known, code.to_json())
        if answer == "unknown":
            raise LedgerError(f"study {study.name} was deleted")
        if answer == "locked":
            raise CodeLockedError(f"another session is recording the code of study {study.name}: try again later")
        if answer == "recorded":
            _log_recorded(connection, study, changed)
            return changed


def refusal(study: StudyRow, changed: list[str]) -> ObjectiveChangedError:
    """Return the error that tells the user what has changed, and how to continue in Python."""
    difference = f"the objective of study {study.name} differs from the recorded objective ({'; '.join(changed)})"
    return ObjectiveChangedError(
        f'{difference}: use if_changed="accept" to run the next trials with the new code, or if_changed="new" to start'
        " a new study, or choose another name",
        difference,
    )


def name_of_new(name: str, code: ObjectiveCode) -> str:
    """Return the name of the study that `if_changed="new"` starts or continues.

    Examples
    --------
    >>> name_of_new("valley", ObjectiveCode(()))
    'valley-e3b0c4'
    """
    return f"{name[:93]}-{code.sha256[:6]}"


def _log_recorded(connection: Connection, study: StudyRow, changed: list[str]) -> None:
    if not changed:
        return
    first = codes.versions_of(connection, study.id)[-1].first_trial
    message = f"study {study.name}: the new code is valid from trial {first} ({'; '.join(changed)})"
    log_event(_log, "code accepted", message, study=study.name, first_trial=first, changes=changed)
