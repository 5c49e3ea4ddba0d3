"""Workers that call the protocol: with the package, and with a psql process."""

import json
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import psycopg

from ledger import embedded
from ledger.database import protocol
from ledger.database.protocol import ClaimedTrial, CompletedTrial


class Worker(Protocol):
    """A connection of a worker."""

    def claim(self, study: str, claims: Sequence[uuid.UUID], worker: str) -> list[ClaimedTrial]: ...
    def heartbeat(self, held: ClaimedTrial) -> bool: ...
    def report(self, held: ClaimedTrial, reports: Mapping[int, float | None]) -> str: ...
    def prune(self, held: ClaimedTrial) -> str: ...
    def complete(self, results: Sequence[tuple[ClaimedTrial, float]]) -> list[str]: ...
    def fail(self, held: ClaimedTrial, error: str, outcome: str) -> str: ...
    def release(self, held: ClaimedTrial) -> bool: ...
    def refuse(self, held: ClaimedTrial, reason: str) -> bool: ...
    def close(self) -> None: ...


class PackageWorker:
    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def claim(self, study: str, claims: Sequence[uuid.UUID], worker: str) -> list[ClaimedTrial]:
        return protocol.claim(self._connection, study, claims, worker)

    def heartbeat(self, held: ClaimedTrial) -> bool:
        return protocol.heartbeat(self._connection, held)

    def report(self, held: ClaimedTrial, reports: Mapping[int, float | None]) -> str:
        return protocol.report(self._connection, held, list(reports), list(reports.values()))

    def prune(self, held: ClaimedTrial) -> str:
        return protocol.prune(self._connection, held, 1.0)

    def complete(self, results: Sequence[tuple[ClaimedTrial, float]]) -> list[str]:
        completed = [CompletedTrial(held, loss, {"from": "Python"}, 1.0) for held, loss in results]
        return protocol.complete_together(self._connection, completed)

    def fail(self, held: ClaimedTrial, error: str, outcome: str) -> str:
        return protocol.fail(self._connection, held, error, 1.0, outcome)

    def release(self, held: ClaimedTrial) -> bool:
        return protocol.release(self._connection, held) == {held.claim}

    def refuse(self, held: ClaimedTrial, reason: str) -> bool:
        return protocol.refuse(self._connection, held, reason)

    def close(self) -> None:
        self._connection.close()


class PsqlWorker:
    """A worker that writes statements to psql, with arguments as psql variables, and reads the answers."""

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

    def claim(self, study: str, claims: Sequence[uuid.UUID], worker: str) -> list[ClaimedTrial]:
        answer = self._ask(
            "select to_jsonb(taken) from ledger.claim(:'study', :'claims', :'worker') as taken order by trial;",
            study=study,
            claims="{" + ",".join(map(str, claims)) + "}",
            worker=worker,
        )
        rows = [json.loads(line) for line in answer.splitlines()]
        return [ClaimedTrial(**{**row, "claim": uuid.UUID(row["claim"])}) for row in rows]

    def heartbeat(self, held: ClaimedTrial) -> bool:
        return self._of(held, f"select ledger.heartbeat({self._THE});") == "t"

    def report(self, held: ClaimedTrial, reports: Mapping[int, float | None]) -> str:
        steps = ",".join(map(str, reports))
        losses = ",".join("null" if loss is None else repr(loss) for loss in reports.values())
        statement = f"select ledger.report({self._THE}, :'steps', :'losses');"
        return self._of(held, statement, steps=f"{{{steps}}}", losses=f"{{{losses}}}")

    def prune(self, held: ClaimedTrial) -> str:
        return self._of(held, f"select ledger.prune({self._THE});")

    def complete(self, results: Sequence[tuple[ClaimedTrial, float]]) -> list[str]:
        rows = [f"({held.study_id}, {held.trial}, '{held.claim}'::uuid, {loss!r}::float8)" for held, loss in results]
        statement = (
            "select ledger.complete(study_id, trial, claim, loss) from (values {}) as r (study_id, trial, claim, loss);"
        )
        return self._ask(statement.format(", ".join(rows))).splitlines()

    def fail(self, held: ClaimedTrial, error: str, outcome: str) -> str:
        statement = f"select ledger.fail({self._THE}, :'error', outcome => :'outcome');"
        return self._of(held, statement, error=error, outcome=outcome)

    def release(self, held: ClaimedTrial) -> bool:
        return self._of(held, f"select ledger.release({self._THE});") == "t"

    def refuse(self, held: ClaimedTrial, reason: str) -> bool:
        return self._of(held, f"select ledger.refuse({self._THE}, :'reason');", reason=reason) == "t"

    def close(self) -> None:
        self._psql.communicate("\\q\n", timeout=300)
        assert self._psql.returncode == 0

    def _of(self, held: ClaimedTrial, statement: str, **variables: Any) -> str:
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
