"""Studies whose objectives or estimators are hostile, for the workers that take any study."""

import json
import random
import uuid
from typing import Any

import psycopg

from tests.attack.estimators import ESTIMATORS
from tests.attack.objectives import CHANNEL, HOSTILE, WRITTEN
from tests.attack.tally import Tally
from tests.attack.victims import Victims

_LIMITS = {"max_failures": 1, "max_crashes": 1, "max_lost": 2, "lease": 3.0, "heartbeat": 0.5, "trial_timeout": 3.0}


class HostileStudies:
    """Makes studies with hostile objectives as a manager makes them, and takes their trials back."""

    def __init__(self, victims: Victims, tally: Tally, rng: random.Random) -> None:
        self._victims, self._tally, self._rng = victims, tally, rng
        self._left: list[str] = []
        # id and claim of each study
        self._studies: list[tuple[int, uuid.UUID]] = []
        # ids of the studies whose objective every worker refuses, so that their trials stay pending
        self._refused: list[int] = []

    @property
    def ids(self) -> list[int]:
        return [study for study, _ in self._studies]

    def attack(self) -> None:
        """Make one study with the next objective, and one that no worker can load."""
        if not self._left:
            self._left = [*HOSTILE, *ESTIMATORS, "no_such_function", "__init__"]
            self._rng.shuffle(self._left)
        name = self._left.pop()
        self._make(name, 2)
        if name in ESTIMATORS:
            self._tally.tried(f"estimator that keeps its model: {name}")
            return
        shown = name if name == "__init__" else name.removeprefix("hostile_").replace("_", " ")
        self._tally.tried(f"objective: {shown}")

    def attack_channel(self) -> None:
        """Make one study whose trials write messages to the channel of their trainer."""
        self._make(CHANNEL, 8)

    def count_messages(self) -> None:
        """Count the messages that trials have written to the channels of their trainers."""
        files = self._victims.folder.glob(f"*/{WRITTEN}")
        self._tally.tried("message of a trainer", sum(file.stat().st_size for file in files))

    def take_back(self) -> None:
        """Take back the trials whose leases have ended, and resume paused studies, as their managers would."""
        with psycopg.connect(self._victims.urls["ledger_manager"], autocommit=True) as connection:
            for study, claim in self._studies:
                connection.execute("select ledger.claim_study(%s, %s, 'attack', 60)", [study, claim])
                # An attacker with the role of a manager may have paused the study, which a manager may do.
                connection.execute(
                    "select ledger.resume(study_id) from ledger.studies where study_id = %s and state = 'paused'",
                    [study],
                )
                expired = connection.execute(
                    "select trial, lease_until from ledger.trials"
                    " where study_id = %s and state = 'running' and lease_until < ledger.clock()",
                    [study],
                ).fetchall()
                for trial, lease in expired:
                    connection.execute("select ledger.reap(%s, %s, %s, %s)", [study, claim, trial, lease])

    def open_trials(self) -> list[str]:
        """Return a description of each open trial whose objective a worker can load."""
        statement = """
            select name, coalesce(objective ->> 'function', objective ->> 'estimator'), number, trial.state,
              study.state, attempts, failures, lost
            from ledger.trial join ledger.study on id = study_id
            where study_id = any (%s) and trial.state in ('pending', 'running')
            order by study_id, number
        """
        rows = self._victims.query(statement, [study for study in self.ids if study not in self._refused])
        return [
            f"{name} ({function}): trial {number} is {state}, the study is {of_study}, "
            f"{attempts} attempts, {failures} failures, {lost} lost"
            for name, function, number, state, of_study, attempts, failures, lost in rows
        ]

    def stolen(self) -> int:
        """Return the number of secrets that objectives have found."""
        statement = "select coalesce(sum((metrics ->> 'stolen')::int), 0) from ledger.trial where metrics ? 'stolen'"
        return int(self._victims.query(statement)[0][0])

    def _make(self, name: str, trials: int) -> None:
        claim = uuid.UUID(int=self._rng.getrandbits(128))
        points = [{"x": self._rng.random()} for _ in range(trials)]
        with psycopg.connect(self._victims.urls["ledger_manager"], autocommit=True) as connection:
            row = connection.execute(
                "select ledger.create_study(%s, %s, %s, %s, '{}')",
                [f"hostile-{len(self._studies)}", json.dumps(_spec(name, trials)), "0" * 64, trials],
            ).fetchone()
            assert row is not None
            study = int(row[0])
            connection.execute("select ledger.claim_study(%s, %s, 'attack', 60)", [study, claim])
            answer = connection.execute(
                "select ledger.propose(%s, %s, 0, 0, 0, %s, null, '{}', 0, 0, null)", [study, claim, json.dumps(points)]
            ).fetchone()
            assert answer == ("proposed",), answer
        self._studies.append((study, claim))
        if name not in (*HOSTILE, *ESTIMATORS):
            self._refused.append(study)


def _objective(name: str) -> dict[str, Any]:
    if name in ESTIMATORS:
        return {"estimator": f"tests.attack.estimators:{name}", "dataset": "iris", "keep_models": "best"}
    return {"function": f"tests.attack.objectives:{name}"}


def _spec(name: str, trials: int) -> dict[str, Any]:
    return {
        "mode": "batch",
        "batch_size": trials,
        "seed": 42,
        "objective": _objective(name),
        "space": [{"name": "x", "type": "real", "low": 0.0, "high": 1.0, "prior": "uniform"}],
        "optimizer": {"base_estimator": "GP", "acq_func": "EI"},
        "limits": _LIMITS,
    }
