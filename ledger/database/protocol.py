"""Functions by which a worker runs the SQL functions in sql/functions/.

Each function sends one statement in autocommit mode. If the connection fails before the answer arrives, the worker can
safely repeat the statement with the same claim.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ledger.database.bounds import shortened
from ledger.database.connection import storable, to_json

# The PostgreSQL channel on which the ledger notifies workers of new trials. A notification can be lost, so the workers
# also poll the ledger for new trials.
CHANNEL = "ledger"


@dataclass(frozen=True)
class ClaimedTrial:
    """A trial that a worker has claimed.

    Attributes
    ----------
    claim : UUID
        The secret id of the attempt. Only a worker that knows the secret id may write the outcome of the attempt.
    study_id, trial : int
        The id of the study, and the number of the trial within the study. The first trial of a study has the number 0.
    attempt : int
        The number of this attempt of the trial, counted from 1.
    lease_seconds, heartbeat_seconds : float
        The length of the lease, and the interval between two heartbeats. Both values are in seconds.
    timeout_seconds : float or None
        The time limit of the attempt in seconds. None if the attempt has no time limit.
    code : int or None
        The number of the valid version of the objective's code. None if the ledger contains no code of the objective.
    tuples : list of dict
        The dimensions whose choices contain Python tuples. In `params`, a list replaces each Python tuple.
    stopping : dict or None
        The rungs of the trial (sql/functions/trial_stopping.sql). None if the study has no rule of early stopping.
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
    code: int | None
    tuples: list[dict[str, Any]] = field(default_factory=list)
    stopping: dict[str, Any] | None = None


@dataclass(frozen=True)
class CompletedTrial:
    """A trial that a worker has completed, and the trial's result.

    Attributes
    ----------
    loss : float
        The loss of the trial. The loss is finite.
    seconds : float
        The duration of the trial's training in seconds.
    output : str
        The last part of the text that the attempt has printed.
    """

    held: ClaimedTrial
    loss: float
    metrics: Mapping[str, Any]
    seconds: float
    output: str = ""


def draw_claim() -> UUID:
    """Return a new claim, which is a UUID of version 7 (RFC 9562). No user can guess the claim's 74 random bits.

    The UUID begins with the current time in milliseconds. New claims are adjacent in the database index of the claims,
    so an insert is fast even if the index is large. No program reads the time in the UUID, so a wrong clock of this
    machine does no harm.
    """
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    # The version number and the variant number of the UUID replace six of the 80 random bits.
    value = value & ~(0xF000 << 64 | 0xC000 << 48) | 0x7000 << 64 | 0x8000 << 48
    return UUID(int=value)


def claim(
    connection: Connection[Any],
    study: str | None,
    claims: Sequence[UUID],
    worker: str,
    leave_out: Sequence[int] = (),
) -> list[ClaimedTrial]:
    """Claim pending trials of one study. The function claims at most ``len(claims)`` trials.

    If `study` is None, the database chooses a running study. If the id of a study is in `leave_out`, the function
    claims no trial of the study.

    The returned list is empty if the worker can claim no pending trial. The returned list can be shorter than `claims`,
    because the ledger divides the pending trials among the workers.
    """
    with connection.cursor(row_factory=class_row(ClaimedTrial)) as cursor:
        statement = "select * from ledger.claim(%s, %s, %s, %s::int[]) order by trial"
        return cursor.execute(statement, (study, list(claims), worker, list(leave_out))).fetchall()


def heartbeat(connection: Connection[Any], held: ClaimedTrial) -> bool:
    """Renew the lease of the worker's claim. Return False if the worker has lost the claim."""
    return bool(_value(connection, "select ledger.heartbeat(%s, %s, %s)", held.study_id, held.trial, held.claim))


def report(
    connection: Connection[Any],
    held: ClaimedTrial,
    steps: Sequence[int],
    losses: Sequence[float | None],
    metrics: Sequence[Mapping[str, Any] | None] | None = None,
) -> str:
    """Record intermediate values of a running trial.

    Return "continue", "stop", "wait", "release", "stale" or "unknown".

    Parameters
    ----------
    steps : sequence of int
        The numbers of at most `MOST_REPORTS_OF_CALL` steps. If the ledger already contains a report of a step, the
        ledger ignores a second report of the step.
    losses : sequence of float or None
        The loss at each step. The loss is None if the reported value is not finite.
    metrics : sequence of mapping or None, optional
        The metrics at each step, or None for a step without metrics. By default, no step has metrics.
    """
    statement = "select ledger.report(%s, %s, %s, %s::bigint[], %s::float8[], %s::jsonb[])"
    given = None if metrics is None else [None if each is None else _jsonb(each) for each in metrics]
    return str(_value(connection, statement, held.study_id, held.trial, held.claim, list(steps), list(losses), given))


def prune(connection: Connection[Any], held: ClaimedTrial, seconds: float, output: str = "") -> str:
    """End a trial early after a verdict of the rule of early stopping, or pause the trial at a rung.

    Return "pruned", "paused", "continue", "already", "stale" or "unknown".
    """
    statement = "select ledger.prune(%s, %s, %s, %s, %s)"
    arguments = (held.study_id, held.trial, held.claim, seconds, storable(connection, output))
    return str(_value(connection, statement, *arguments))


def complete(
    connection: Connection[Any], held: ClaimedTrial, loss: float, metrics: Mapping[str, Any], seconds: float
) -> str:
    """Record the loss of a trial. Return "recorded", "already", "stale" or "unknown"."""
    (answer,) = complete_together(connection, [CompletedTrial(held, loss, metrics, seconds)])
    return answer


def complete_together(connection: Connection[Any], results: Sequence[CompletedTrial]) -> list[str]:
    """Record the losses of several trials in one statement. The returned list contains one word for each trial. Each
    word is the result that the function `complete` would return for the trial.
    """
    rows = connection.execute(
        "select ledger.complete(study_id, trial, claim, loss, metrics, seconds, output)"
        " from unnest(%s::int[], %s::int[], %s::uuid[], %s::float8[], %s::jsonb[], %s::float8[], %s::text[])"
        " with ordinality"
        " as result (study_id, trial, claim, loss, metrics, seconds, output, place) order by place",
        (
            *_names([result.held for result in results]),
            [result.loss for result in results],
            [_jsonb(result.metrics) for result in results],
            [result.seconds for result in results],
            [storable(connection, result.output) for result in results],
        ),
    )
    return [answer for (answer,) in rows.fetchall()]


def fail(
    connection: Connection[Any],
    held: ClaimedTrial,
    error: str,
    seconds: float,
    outcome: str = "failed",
    output: str = "",
) -> str:
    """Record the error of an attempt. Return "retry", "failed", "already", "stale" or "unknown"."""
    return str(
        _value(
            connection,
            "select ledger.fail(%s, %s, %s, %s, %s, %s, %s)",
            *(held.study_id, held.trial, held.claim, _storable_error(connection, error), seconds, outcome),
            storable(connection, output),
        )
    )


def release(connection: Connection[Any], *held: ClaimedTrial) -> set[UUID]:
    """Release unfinished trials in one statement. Return those claims that were still valid before the release."""
    rows = connection.execute(
        "select claim from unnest(%s::int[], %s::int[], %s::uuid[]) as held (study_id, trial, claim)"
        " where ledger.release(study_id, trial, claim)",
        _names(held),
    )
    return {claim for (claim,) in rows.fetchall()}


def refuse(connection: Connection[Any], held: ClaimedTrial, reason: str) -> bool:
    """Release a trial whose objective the worker cannot load. Record the reason.

    Return False if the worker had already lost the claim.
    """
    statement = "select ledger.refuse(%s, %s, %s, %s)"
    return bool(
        _value(connection, statement, held.study_id, held.trial, held.claim, _storable_error(connection, reason))
    )


def accept(connection: Connection[Any], held: ClaimedTrial) -> None:
    """Delete the worker's refusal of the study, because the worker has now loaded the objective."""
    _value(connection, "select ledger.accept(%s, %s, %s)", held.study_id, held.trial, held.claim)


def objective_code(connection: Connection[Any], study_id: int, number: int) -> dict[str, Any] | None:
    """Return the hash and the parts of one code version of the objective, or None if the version does not exist."""
    code = _value(connection, "select ledger.objective_code(%s, %s)", study_id, number)
    return code if isinstance(code, dict) else None


def report_code(connection: Connection[Any], held: ClaimedTrial, code: Mapping[str, Any]) -> int | None:
    """Record the code that the worker has loaded, unless the ledger already contains code of the objective.

    Return the number of the valid code version. Return None if the ledger could not record the code. If the result is
    None, the worker calls the function again after the worker's next claim.
    """
    facts = {name: value for name, value in code.items() if name != "texts"}
    number = _value(
        connection,
        "select ledger.report_code(%s, %s, %s, %s, %s::text[])",
        *(held.study_id, held.trial, held.claim, _jsonb(facts)),
        [storable(connection, text) for text in code["texts"].values()],
    )
    return number if isinstance(number, int) else None


def announce(
    connection: Connection[Any], worker: str, host: str, pid: int, versions: Mapping[str, str], *, stopped: bool = False
) -> None:
    """Tell the ledger that the worker is running, or that the worker has stopped."""
    _value(connection, "select ledger.announce(%s, %s, %s, %s, %s)", worker, host, pid, _jsonb(versions), stopped)


def dataset(connection: Connection[Any], sha256: str, first: int, size: int) -> bytes | None:
    """Return at most `size` bytes of a dataset, from the byte offset `first`. Return None if the dataset does not
    exist.
    """
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute("select ledger.dataset(%s, %s, %s)", (sha256, first, size)).fetchone()
    return None if row is None or row[0] is None else bytes(row[0])


def ended(connection: Connection[Any], study: str | None) -> bool:
    """Return whether the study has ended. If `study` is None, return whether all studies have ended."""
    return bool(_value(connection, "select ledger.ended(%s)", study))


def listen(connection: Connection[Any]) -> None:
    """Subscribe to the notifications of new trials."""
    connection.execute(f"listen {CHANNEL}")


def _storable_error(connection: Connection[Any], error: str) -> str:
    """Shorten an error to the maximum length, and escape the characters that the database cannot store."""
    return shortened(storable(connection, shortened(error)))


def _jsonb(value: object) -> Jsonb:
    return Jsonb(value, dumps=to_json)


def _names(held: Sequence[ClaimedTrial]) -> tuple[list[int], list[int], list[UUID]]:
    return [each.study_id for each in held], [each.trial for each in held], [each.claim for each in held]


def _value(connection: Connection[Any], statement: str, *parameters: object) -> object:
    row = connection.execute(statement, parameters).fetchone()
    return row[0] if row else None
