"""One attack: a real study runs, attackers of each kind take turns, and then everything must still work."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ledger.database import queries
from tests.attack.calls import Calls, Locks
from tests.attack.claims import StaleClaims
from tests.attack.files import Files
from tests.attack.hostile_studies import HostileStudies
from tests.attack.models import Models
from tests.attack.neighbours import Neighbours
from tests.attack.stores import Stores
from tests.attack.tally import Tally
from tests.attack.victims import Victims, dismiss, run_commands, victims
from tests.attack.waits import Waits
from tests.chaos.studies import NAME
from tests.system.programs import wait_until

# Seconds after the attack within which the study must complete further trials, and hostile trials must end.
RECOVERY = 180.0
FURTHER = 8
# While more trials of hostile studies than this number are open, the attack makes no further hostile study.
MOST_OPEN = 12


@dataclass(frozen=True)
class Attacked:
    """Result of an attack.

    Attributes
    ----------
    seconds : float
        Duration of the attack.
    rows : list of (kind, tried, refused)
        Numbers of attacks by kind.
    must_be_zero : mapping
        Descriptions of what must not happen, with their counts.
    details : list of str
        One line for each thing that happened and must not.
    """

    seconds: float
    rows: list[tuple[str, int, int]]
    must_be_zero: dict[str, int]
    details: list[str]


def attack(folder: Path, *, seconds: float, seed: int, watch: Callable[[str], object] = lambda line: None) -> Attacked:
    """Attack a ledger for some time.

    Parameters
    ----------
    folder : Path
        Folder for all files and logs.
    seconds : float
        Duration of the attack. Each kind of attack happens at least once.
    seed : int
        Seed of all attacks.
    watch : callable, optional
        Called with one line for each round of attacks.
    """
    rng, tally = random.Random(seed), Tally()
    with victims(folder) as under_attack:
        hostile = HostileStudies(under_attack, tally, rng)
        files = Files(under_attack, tally, rng)
        neighbours = Neighbours(under_attack, tally, rng)
        claims = StaleClaims(under_attack, tally, rng)
        waits = Waits(under_attack, tally, rng)
        models = Models(under_attack, tally, rng)
        stores = Stores(under_attack, tally, rng)
        hostile.attack()
        calls = Calls(under_attack, tally, rng, hostile)
        locks = Locks(under_attack, tally, rng)
        started = time.monotonic()
        number = 0
        while number < 3 or time.monotonic() - started < seconds:
            calls.attack(60)
            hostile.take_back()
            if len(hostile.open_trials()) < MOST_OPEN:
                hostile.attack()
            if number % 2 == 1:
                hostile.attack_channel()
            files.attack(20)
            claims.attack()
            waits.attack()
            models.attack(4)
            stores.attack()
            if number % 3 == 0:
                locks.attack()
            if number % 5 == 1:
                calls.claim_trials()
                calls.flood()
            if number % 5 == 2:
                neighbours.attack()
            number += 1
            watch(f"{time.monotonic() - started:6.1f} s  round {number}: {_complete(under_attack)} trials complete")
        lasted = time.monotonic() - started
        hostile.count_messages()
        stores.repair()
        locks.close()
        calls.close()
        found = _examine(under_attack, hostile, files, neighbours, claims, waits, models)
        return Attacked(lasted, tally.rows(), {what: len(lines) for what, lines in found.items()}, _lines(found))


def _examine(
    under_attack: Victims,
    hostile: HostileStudies,
    files: Files,
    neighbours: Neighbours,
    claims: StaleClaims,
    waits: Waits,
    models: Models,
) -> dict[str, list[str]]:
    """Return what went wrong, by what must not happen."""
    stuck = []
    complete = _complete(under_attack)
    try:
        wait_until(lambda: _complete(under_attack) >= complete + FURTHER, RECOVERY)
    except AssertionError:
        stuck.append(f"{NAME}: no {FURTHER} further trials within {RECOVERY:g} s")

    def hostile_trials_have_ended() -> bool:
        hostile.take_back()
        return not hostile.open_trials()

    try:
        wait_until(hostile_trials_have_ended, RECOVERY)
    except AssertionError:
        stuck += hostile.open_trials()
    managers = under_attack.ended([under_attack.manager])
    workers = under_attack.ended(under_attack.workers)
    stayed = dismiss(under_attack)
    return {
        "workers that ended": workers,
        "managers that ended": managers,
        "studies that are stuck": stuck,
        "processes that did not stop when asked": stayed,
        "views and queries that fail": _failing_queries(under_attack),
        "commands that fail": run_commands(under_attack),
        "calls with a stale or foreign claim that the ledger accepted": claims.recorded(),
        "wrong answers to a worker at a rung, and verdicts that changed": waits.wrong,
        "changed models that were loaded": models.loaded,
        "models that ran code when they were read": ["a model"] * models.executed,
        "secrets that an objective read": ["a secret"] * hostile.stolen(),
        "planted files that were executed": ["a planted file"] * neighbours.executed,
        "processes of others that were signalled": ["a process"] * neighbours.signalled,
        "tracebacks": [
            *under_attack.tracebacks(),
            *files.tracebacks,
            *neighbours.tracebacks,
            *models.tracebacks,
        ],
    }


def _complete(under_attack: Victims) -> int:
    statement = (
        "select count(*) from ledger.trial join ledger.study on id = study_id"
        " where name = %s and trial.state = 'complete'"
    )
    return int(under_attack.query(statement, NAME)[0][0])


def _failing_queries(under_attack: Victims) -> list[str]:
    failing = []
    views = under_attack.query(
        "select relname from pg_class where relnamespace = 'ledger'::regnamespace and relkind = 'v'"
    )
    for (view,) in views:
        try:
            under_attack.query(f'select * from ledger."{view}"')
        except psycopg.Error as error:
            failing.append(f"view {view}: {error}")
    with psycopg.connect(under_attack.server.url, autocommit=True) as connection:
        for name, query in queries.known().items():
            try:
                connection.execute(query.with_values({}))
            except psycopg.Error as error:
                failing.append(f"query {name}: {error}")
    return failing


def _lines(found: dict[str, list[str]]) -> list[str]:
    return [f"{what}: {line}" for what, lines in found.items() for line in lines]
