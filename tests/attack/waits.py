"""Attacks by a worker that waits at the rungs of a study with groups, or makes other trials wait."""

import math
import random
import uuid
from collections.abc import Sequence

import psycopg

from tests.attack.tally import Tally
from tests.attack.victims import Victims
from tests.chaos.studies import NAME

_WORKER = "waiter"
_LOSSES = (0.5, 0.0, -1e308, 1e308, math.nan, math.inf, -math.inf, None)
_REPORT = "select ledger.report(%s, %s, %s, %s::bigint[], %s::float8[])"
# Each call with its possible answers to a worker that holds, or has lost, the claim.
_CALLS = {
    "release": ("select ledger.release(%s, %s, %s)::text", {"true", "false"}),
    "heartbeat": ("select ledger.heartbeat(%s, %s, %s)::text", {"true", "false"}),
    "prune": ("select ledger.prune(%s, %s, %s, 1.0, '')", {"pruned", "continue", "already", "stale"}),
    "result": ("select ledger.complete(%s, %s, %s, 1e9, '{}', 1.0)", {"recorded", "already", "stale"}),
}
_REFUSED = "refused"
_REPORTED = {"continue", "stop", "wait", "release", "stale"}
# Numbers of the claims that the worker uses, and of its calls in each attack.
_HELD, _WORDS = 4, 20

# A claim with its study and its trial.
_Claim = tuple[int, int, uuid.UUID]


class Waits:
    """A worker that reports any values in any order, and answers a verdict or a wait with any call.

    Attributes
    ----------
    wrong : list of str
        The answers that the protocol does not allow, and the verdicts that were not final.
    """

    def __init__(self, victims: Victims, tally: Tally, rng: random.Random) -> None:
        self._url, self._tally, self._rng = victims.urls["ledger_worker"], tally, rng
        self._held: list[_Claim] = []
        self._stopped: set[uuid.UUID] = set()
        self.wrong: list[str] = []

    def attack(self) -> None:
        """Claim a trial, and make calls with the last claims."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            claim = uuid.UUID(int=self._rng.getrandbits(128))
            self._held += connection.execute(
                "select study_id, trial, claim from ledger.claim(%s, %s::uuid[], %s)", [NAME, [claim], _WORKER]
            ).fetchall()
            self._held = self._held[-_HELD:]
            for _ in range(_WORDS if self._held else 0):
                held = self._rng.choice(self._held)
                if self._rng.random() < 0.7:
                    self._report(connection, held)
                else:
                    self._call(connection, held)

    def _report(self, connection: psycopg.Connection[tuple[object, ...]], held: _Claim) -> None:
        """Report steps at, between and above the rungs, in any order. No step is the question of a waiting worker."""
        steps = self._rng.choice([[], [], [0], [1], [2], [3], [2, 1], [3, 0], [2**62]])
        kind = f"worker at a rung: {'report' if steps else 'question'}"
        losses = [self._rng.choice(_LOSSES) for _ in steps]
        answer = self._ask(connection, kind, _REPORT, [*held, steps, losses])
        if answer == _REFUSED:
            return
        if answer not in _REPORTED or (held[2] in self._stopped and answer not in ("stop", "stale")):
            was = "stop" if held[2] in self._stopped else "not stop"
            self.wrong.append(f"{kind} of trial {held[1]} was answered by {answer}; the answer before was {was}")
        if answer == "stop":
            self._stopped.add(held[2])

    def _call(self, connection: psycopg.Connection[tuple[object, ...]], held: _Claim) -> None:
        name = self._rng.choice(list(_CALLS))
        statement, answers = _CALLS[name]
        kind = f"worker at a rung: {name}"
        answer = self._ask(connection, kind, statement, held)
        if answer not in answers:
            self.wrong.append(f"{kind} of trial {held[1]} was answered by {answer}")

    def _ask(
        self, connection: psycopg.Connection[tuple[object, ...]], kind: str, statement: str, given: Sequence[object]
    ) -> object:
        self._tally.tried(kind)
        try:
            row = connection.execute(statement, given).fetchone()
        except psycopg.errors.InvalidParameterValue:
            self._tally.refused(kind)
            return _REFUSED
        return None if row is None else row[0]
