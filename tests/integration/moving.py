"""Import of a study's json export into another ledger."""

import copy
import io
import json
from typing import Any

from sqlalchemy import Connection

from ledger.database import studies
from ledger.database.rows import StudyRow
from ledger.export.documents import write_json
from ledger.imports.document import import_study, read


def exported(db: Connection, name: str = "s") -> dict[str, Any]:
    output = io.StringIO()
    write_json(db, studies.get(db, name), output)
    document: dict[str, Any] = json.loads(output.getvalue())
    return document


def moved(db: Connection, document: dict[str, Any], name: str | None = None) -> StudyRow:
    return import_study(db, read("export.json", json.dumps(document).encode()), name)


def as_it_is_elsewhere(document: dict[str, Any], name: str = "s") -> dict[str, Any]:
    """Return the expected export of an imported study, without the times of released attempts."""
    expected = copy.deepcopy(document)
    expected["study"]["name"] = name
    for trial in expected["trials"]:
        if trial["state"] == "running":
            trial.update(state="pending", lease_until=None, deadline_at=None)
    for attempt in expected["attempts"]:
        if attempt["outcome"] is None:
            attempt.update(
                outcome="released", error="the attempt was running in another ledger when the study was imported"
            )
        if attempt["outcome"] == "released":
            attempt["ended_at"] = None
    return expected


def without_releases(document: dict[str, Any]) -> dict[str, Any]:
    """Return an export without the times of released attempts."""
    return as_it_is_elsewhere(document, document["study"]["name"])
