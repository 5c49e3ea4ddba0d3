"""The protocol as a worker calls it: by the package, and by a psql process that is kept open."""

import json
import subprocess
import uuid
from typing import Any, Protocol

import psycopg

from ledger import embedded
from ledger.database import protocol
from ledger.database.protocol import Claimed


class Worker(Protocol):
    """One connection of one worker."""

    def claim(self, study: str, claim: uuid.UUID, worker: str) -> Claimed | None: ...
    def heartbeat(self, held: Claimed) -> bool: ...
    def complete(self, held: Claimed, loss: float) -> str: ...
    def fail(self, held: Claimed, error: str, outcome: str) -> str: ...
    def release(self, held: Claimed) -> bool: ...
    def close(self) -> None: ...


class PackageWorker:
    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def claim(self, study: str, claim: uuid.UUID, worker: str) -> Claimed | None:
        return protocol.claim(self._connection, study, claim, worker)

    def heartbeat(self, held: Claimed) -> bool:
        return protocol.heartbeat(self._connection, held)

    def complete(self, held: Claimed, loss: float) -> str:
        return protocol.complete(self._connection, held, loss, {"from": "Python"}, 1.0)

    def fail(self, held: Claimed, error: str, outcome: str) -> str:
        return protocol.fail(self._connection, held, error, 1.0, outcome)

    def release(self, held: Claimed) -> bool:
        return protocol.release(self._connection, held)

    def close(self) -> None:
        self._connection.close()


class PsqlWorker:
    """Types statements into psql, with what they are about as psql's variables, and reads the answers."""

    _THE = ":study_id, :trial, :'claim'"

    def __init__(self, url: str) -> None:
        self._psql = subprocess.Popen(
            [str(embedded.program("psql")), "-X", "-q", "-A", "-t", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def claim(self, study: str, claim: uuid.UUID, worker: str) -> Claimed | None:
        answer = self._ask(
            "select to_jsonb(taken) from ledger.claim(:'study', :'claim', :'worker') as taken;",
            study=study,
            claim=claim,
            worker=worker,
        )
        return Claimed(claim=claim, **json.loads(answer)) if answer else None

    def heartbeat(self, held: Claimed) -> bool:
        return self._of(held, f"select ledger.heartbeat({self._THE});") == "t"

    def complete(self, held: Claimed, loss: float) -> str:
        return self._of(held, f"select ledger.complete({self._THE}, :'loss');", loss=loss)

    def fail(self, held: Claimed, error: str, outcome: str) -> str:
        statement = f"select ledger.fail({self._THE}, :'error', outcome => :'outcome');"
        return self._of(held, statement, error=error, outcome=outcome)

    def release(self, held: Claimed) -> bool:
        return self._of(held, f"select ledger.release({self._THE});") == "t"

    def close(self) -> None:
        self._psql.communicate("\\q\n", timeout=60)
        assert self._psql.returncode == 0

    def _of(self, held: Claimed, statement: str, **variables: Any) -> str:
        return self._ask(statement, study_id=held.study_id, trial=held.trial, claim=held.claim, **variables)

    def _ask(self, statement: str, **variables: Any) -> str:
        assert self._psql.stdin is not None
        assert self._psql.stdout is not None
        settings = [f"\\set {name} '{value}'" for name, value in variables.items()]
        self._psql.stdin.write("\n".join([*settings, statement, "\\echo answered", ""]))
        self._psql.stdin.flush()
        lines = list(iter(lambda: self._psql.stdout.readline().rstrip("\n"), "answered"))  # type: ignore[union-attr]
        assert not [line for line in lines if "ERROR" in line], lines
        return "\n".join(lines)
