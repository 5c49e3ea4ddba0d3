"""Attacks with claims that are no longer valid, or that belong to another trial."""

import random
import time
import uuid
from collections.abc import Iterator

import psycopg

from tests.attack.tally import Tally
from tests.attack.victims import Victims
from tests.chaos.faults import AIM
from tests.chaos.studies import NAME

# Name of the worker that reports under a claim that it has lost, and name of its artifacts.
THIEF, STOLEN = "thief", "stolen.bin"
# Number of the last lost claims that an attack uses.
_LAST = 12
# Each call answers one of the words, and changes nothing.
_CALLS = {
    "report": "select ledger.report(%s, %s, %s, array[1, 2, 3]::bigint[], array[-9, null, -9]::float8[])",
    "prune": "select ledger.prune(%s, %s, %s, 1.0, 'pruned')",
    "result": "select ledger.complete(%s, %s, %s, -1000, '{}', 1.0)",
    "failure": "select ledger.fail(%s, %s, %s, 'failed', 1.0)",
    "artifact": f"select answer from ledger.begin_artifact(%s, %s, %s, '{STOLEN}', repeat('0', 64), 1)",
    "piece of an artifact": f"select ledger.add_artifact_piece(%s, %s, %s, '{STOLEN}', 0, 'x')",
    "end of an artifact": f"select ledger.save_artifact(%s, %s, %s, '{STOLEN}', gen_random_uuid())",
    "checkpoint": "select answer from ledger.begin_artifact(%s, %s, %s, '.checkpoint-7', repeat('0', 64), 1)",
    "heartbeat": "select ledger.heartbeat(%s, %s, %s)::text",
    "checkpoints": "select count(*)::text from ledger.last_checkpoints(%s, %s, %s)",
}
_REFUSALS = ("stale", "unknown", "false", "0")
# The ledger accepts the claim of a trial that the manager has taken back, until another worker claims the trial.
_LOST = """
select count(*)
from ledger.attempt
join ledger.trial on trial.study_id = attempt.study_id and trial.number = attempt.trial
where attempt.claim = %s and (trial.finished_at is not null or attempt.claim is distinct from trial.claim)
"""
_RECORDED = """
select format('step %%s of trial %%s', step, report.trial)
from ledger.report
join ledger.attempt
  on attempt.study_id = report.study_id and attempt.trial = report.trial and attempt.number = report.attempt
where attempt.worker = %s and step > 0
union all
select format('artifact %%s of trial %%s', name, trial) from ledger.artifact where name in (%s, '.checkpoint-7')
"""

# A claim with its study and its trial.
_Claim = tuple[int, int, uuid.UUID]


class StaleClaims:
    """A worker that loses its claims, and then uses them. It also uses a valid claim for other trials.

    Attributes
    ----------
    accepted : list of str
        The calls that the ledger has accepted.
    """

    def __init__(self, victims: Victims, tally: Tally, rng: random.Random) -> None:
        self._victims, self._tally, self._rng = victims, tally, rng
        self._claims: list[_Claim] = []
        self.accepted: list[str] = []

    def attack(self) -> None:
        """Claim trials, lose the claims, and use all claims that are lost by now."""
        with psycopg.connect(self._victims.urls["ledger_worker"], autocommit=True) as connection:
            for held in self._claim(connection):
                study, trial, claim = held
                for other in {0, self._rng.randrange(trial + 1), trial + 1, trial + 1_000_000} - {trial}:
                    self._use(connection, "foreign claim", (study, other, claim))
                # The other half of the claims ends with its lease.
                if self._rng.random() < 0.5:
                    connection.execute("select ledger.release(%s, %s, %s)", held)
                self._claims.append(held)
            for held in self._claims[-_LAST:]:
                if self._victims.query(_LOST, held[2]) == [(1,)]:
                    self._use(connection, "stale claim", held)

    def recorded(self) -> list[str]:
        """Return the accepted calls, and the reports and artifacts that the ledger has recorded for lost claims."""
        rows = self._victims.query(_RECORDED, THIEF, STOLEN)
        return [*self.accepted, *(text for (text,) in rows)]

    def _claim(self, connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[_Claim]:
        until = time.monotonic() + AIM
        found: list[tuple[object, ...]] = []
        # All trials may be running, or the attack may have paused the study.
        while not found and time.monotonic() < until:
            claims = [uuid.UUID(int=self._rng.getrandbits(128)) for _ in range(2)]
            found = connection.execute(
                "select study_id, trial, claim from ledger.claim(%s, %s::uuid[], %s)", [NAME, claims, THIEF]
            ).fetchall()
        for study, trial, claim in found:
            assert isinstance(study, int)
            assert isinstance(trial, int)
            assert isinstance(claim, uuid.UUID)
            connection.execute("select ledger.report(%s, %s, %s, '{0}', '{0.5}')", [study, trial, claim])
            yield study, trial, claim

    def _use(self, connection: psycopg.Connection[tuple[object, ...]], kind: str, held: _Claim) -> None:
        """Make each call with a claim that is not valid for the trial."""
        for name, statement in _CALLS.items():
            self._tally.tried(f"{kind}: {name}")
            try:
                row = connection.execute(statement, held).fetchone()
            except psycopg.Error:
                self._tally.refused(f"{kind}: {name}")
                continue
            if row is None or row[0] not in _REFUSALS:
                self.accepted.append(f"{kind}: {name} of trial {held[1]} was answered by {row}")
