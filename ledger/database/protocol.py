"""A worker's side of the ledger: one Python function for each SQL function of the hot path (sql/functions/).

Each is one autocommitted statement, and safe to send again with the same claim after a lost acknowledgement.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ledger.database.connection import to_json

# Where a manager says that there are new trials; a hint, polling is the truth.
CHANNEL = "ledger"


@dataclass(frozen=True)
class Claimed:
    """A trial in hand.

    Attributes
    ----------
    claim : UUID
        The right to write this attempt's outcome.
    study_id, trial : int
        The trial; `trial` counts from 0 within its study.
    attempt : int
        Counts from 1 within the trial.
    lease_seconds, heartbeat_seconds : float
        For how long the claim is believed without a heartbeat, and how often to send one.
    timeout_seconds : float or None
        After which the attempt is to be ended.
    """

    claim: UUID
    study_id: int
    study_name: str
    trial: int
    attempt: int
    params: dict[str, Any]
    objective: dict[str, Any]
    study_seed: int
    lease_seconds: float
    heartbeat_seconds: float
    timeout_seconds: float | None


@dataclass(frozen=True)
class Completed:
    """A trial's result.

    Attributes
    ----------
    loss : float
        Finite.
    seconds : float
        Of the training.
    """

    held: Claimed
    loss: float
    metrics: Mapping[str, Any]
    seconds: float


def draw_claim() -> UUID:
    """Draw a claim: 74 random bits, too many to be guessed, behind the time in milliseconds (RFC 9562's version 7).

    The time keeps new claims beside each other in their index, so that a claim costs no more beside a million others.
    The time is never read, so this machine's clock may be wrong.
    """
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    # the version and the variant take six bits of the random ones
    value = value & ~(0xF000 << 64 | 0xC000 << 48) | 0x7000 << 64 | 0x8000 << 48
    return UUID(int=value)


def claim(connection: Connection[Any], study: str | None, claims: Sequence[UUID], worker: str) -> list[Claimed]:
    """Take at most one pending trial for each claim, of `study`, or of any one running study for None.

    Empty where there is nothing to do. It may return fewer trials than requested,
    so that each worker gets a fair share.
    """
    with connection.cursor(row_factory=class_row(Claimed)) as cursor:
        statement = "select * from ledger.claim(%s, %s, %s) order by trial"
        return cursor.execute(statement, (study, list(claims), worker)).fetchall()


def heartbeat(connection: Connection[Any], held: Claimed) -> bool:
    """Hold the claim for one more lease; False where it is gone."""
    return bool(_value(connection, "select ledger.heartbeat(%s, %s, %s)", held.study_id, held.trial, held.claim))


def complete(
    connection: Connection[Any], held: Claimed, loss: float, metrics: Mapping[str, Any], seconds: float
) -> str:
    """Record a loss; "recorded", "already", "stale" or "unknown"."""
    (answer,) = complete_together(connection, [Completed(held, loss, metrics, seconds)])
    return answer


def complete_together(connection: Connection[Any], results: Sequence[Completed]) -> list[str]:
    """Record losses in one statement; what `complete` answers, for each in its order."""
    rows = connection.execute(
        "select ledger.complete(study_id, trial, claim, loss, metrics, seconds)"
        " from unnest(%s::int[], %s::int[], %s::uuid[], %s::float8[], %s::jsonb[], %s::float8[]) with ordinality"
        " as result (study_id, trial, claim, loss, metrics, seconds, place) order by place",
        (
            *_names([result.held for result in results]),
            [result.loss for result in results],
            [_jsonb(result.metrics) for result in results],
            [result.seconds for result in results],
        ),
    )
    return [answer for (answer,) in rows.fetchall()]


def fail(connection: Connection[Any], held: Claimed, error: str, seconds: float, outcome: str = "failed") -> str:
    """Record what went wrong; "retry", "failed", "already", "stale" or "unknown"."""
    return str(
        _value(
            connection,
            "select ledger.fail(%s, %s, %s, %s, %s, %s)",
            *(held.study_id, held.trial, held.claim, _storable(error), seconds, outcome),
        )
    )


def release(connection: Connection[Any], *held: Claimed) -> set[UUID]:
    """Give trials back unfinished, in one statement; the claims that are not in the answer were gone."""
    rows = connection.execute(
        "select claim from unnest(%s::int[], %s::int[], %s::uuid[]) as held (study_id, trial, claim)"
        " where ledger.release(study_id, trial, claim)",
        _names(held),
    )
    return {claim for (claim,) in rows.fetchall()}


def announce(
    connection: Connection[Any], worker: str, host: str, pid: int, versions: Mapping[str, str], *, stopped: bool = False
) -> None:
    """Say that the worker is here, or that it leaves."""
    _value(connection, "select ledger.announce(%s, %s, %s, %s, %s)", worker, host, pid, _jsonb(versions), stopped)


def dataset(connection: Connection[Any], sha256: str, first: int, size: int) -> bytes | None:
    """Return at most `size` bytes, from `first` on, of what a study trains on; None where the ledger has it not."""
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute("select ledger.dataset(%s, %s, %s)", (sha256, first, size)).fetchone()
    return None if row is None or row[0] is None else bytes(row[0])


def ended(connection: Connection[Any], study: str | None) -> bool:
    """Return whether the study, or with None every study, has ended."""
    return bool(_value(connection, "select ledger.ended(%s)", study))


def listen(connection: Connection[Any]) -> None:
    """Ask to be notified of new trials."""
    connection.execute(f"listen {CHANNEL}")


def _storable(error: str) -> str:
    """PostgreSQL's text holds neither NUL nor lone surrogates."""
    return error.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _jsonb(value: object) -> Jsonb:
    return Jsonb(value, dumps=to_json)


def _names(held: Sequence[Claimed]) -> tuple[list[int], list[int], list[UUID]]:
    return [each.study_id for each in held], [each.trial for each in held], [each.claim for each in held]


def _value(connection: Connection[Any], statement: str, *parameters: object) -> object:
    row = connection.execute(statement, parameters).fetchone()
    return row[0] if row else None
