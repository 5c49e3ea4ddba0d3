"""Functions that record and read versions of an objective's code."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, select, text

from ledger.database import views
from ledger.database.connection import driver, storable, to_json
from ledger.database.rows import CodeVersionRow
from ledger.database.selecting import fetch, rows_of

_versions, _sources = views.code_versions, views.sources
_RECORD = text("select ledger.record_code(:study, :known, cast(:code as jsonb), cast(:texts as text[]))")


def versions_of(connection: Connection, study_id: int) -> list[CodeVersionRow]:
    """Return the code versions of a study's objective, ordered by number."""
    with connection.begin():
        return read_versions(connection, study_id)


def read_versions(connection: Connection, study_id: int) -> list[CodeVersionRow]:
    """Return the versions of the code, ordered by number. The function reads the versions in the connection's current
    transaction.
    """
    return fetch(
        connection,
        CodeVersionRow,
        rows_of(CodeVersionRow).where(_versions.c.study_id == study_id).order_by(_versions.c.number),
    )


def texts_of(connection: Connection, hashes: Iterable[str]) -> dict[str, str]:
    """Return the recorded source texts with the given hashes.

    Each key of the result is the SHA-256 of a source text, in hexadecimal.
    """
    with connection.begin():
        return read_texts(connection, hashes)


def read_texts(connection: Connection, hashes: Iterable[str]) -> dict[str, str]:
    """Return the recorded source texts with the given hashes. Each key of the result is the SHA-256 of a source text,
    in hexadecimal. The function reads the source texts in the connection's current transaction.
    """
    chosen = select(_sources.c.sha256, _sources.c.text).where(_sources.c.sha256.in_(sorted(set(hashes))))
    return {row.sha256: row.text for row in connection.execute(chosen)}


def record(connection: Connection, study_id: int, known: int | None, code: Mapping[str, Any]) -> str:
    """Record a version of the code. The recorded version is valid from now on. Return the word that the SQL function
    `ledger.record_code` returns.

    Parameters
    ----------
    known : int or None
        Number of the version that was valid before this call, or None if the ledger has no version.
    code : mapping
        The code, as returned by `ledger.objectives.fingerprint.ObjectiveCode.to_json`.
    """
    with connection.begin():
        return insert_version(connection, study_id, known, code)


def insert_version(connection: Connection, study_id: int, known: int | None, code: Mapping[str, Any]) -> str:
    """Record a version of the code in the connection's current transaction. Return the word that the SQL function
    `ledger.record_code` returns.
    """
    facts = {name: value for name, value in code.items() if name != "texts"}
    texts = [storable(driver(connection), each) for each in code["texts"].values()]
    parameters = {"study": study_id, "known": known, "code": to_json(facts), "texts": texts}
    return str(connection.scalar(_RECORD, parameters))
