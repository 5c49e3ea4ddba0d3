"""Claims a second: the functions of the ledger beside the barest queue that PostgreSQL can hold.

The peer is one table, an UPDATE with SKIP LOCKED to take a row and one to end it, prepared and autocommitted:
no attempts, no leases, no fencing. What the ledger does more is what the ratio shows. Each client is a process.
"""

import statistics
import time
import uuid
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import psycopg

from benchmarks.ledgers import ledger
from ledger.database import protocol
from ledger.database.connection import engine
from ledger.database.store import Batch, Store

PAIRS = 2000
ROUNDS = 5
CLIENTS = (1, 4, 8)

_PEER = """
create table if not exists public.job (
  number int primary key, state text not null default 'pending', loss float8);
create index if not exists job_pending on public.job (number) where state = 'pending';
"""
_PEER_TAKE = """
with next as materialized (
  select number from public.job where state = 'pending' order by number limit 1 for no key update skip locked)
update public.job set state = 'running' from next where job.number = next.number returning job.number
"""
_PEER_END = "update public.job set state = 'complete', loss = 0.5 where number = %s"

_SPEC = {
    "points": PAIRS,
    "seed": 0,
    "objective": {"model": "svm", "dataset": "breast_cancer"},
    "space": [],
    "optimizer": {},
    "limits": {"max_failures": 3, "max_lost": 20, "lease": 30.0, "heartbeat": 10.0, "trial_timeout": None},
}


def run(*, quick: bool = False) -> str:
    with ledger() as found:
        return measure(found.url, rounds=1 if quick else ROUNDS)


def measure(url: str, rounds: int) -> str:
    """Return a table of pairs (claim and end) a second."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_PEER)
    lines = [
        f"## Claim and complete, {PAIRS} pairs a round, median of {rounds} rounds (lowest to highest)\n",
        "| clients | ledger.claim + ledger.complete, pairs/s | bare table, pairs/s | ratio |",
        "|---:|---:|---:|---:|",
    ]
    for clients in CLIENTS:
        ours, bare = [], []
        for round in range(rounds):
            ours.append(_rate(url, clients, _fill_ledger, _work_ledger, f"s{clients}-{round}"))
            bare.append(_rate(url, clients, _fill_peer, _work_peer, ""))
        ratio = statistics.median(ours) / statistics.median(bare)
        lines.append(f"| {clients} | {_spread(ours)} | {_spread(bare)} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def _rate(url: str, clients: int, fill: Callable[..., None], work: Callable[..., None], name: str) -> float:
    fill(url, name)
    context = get_context("spawn")
    barrier = context.Barrier(clients + 1)
    processes = [context.Process(target=work, args=(url, name, barrier)) for _ in range(clients)]
    for process in processes:
        process.start()
    barrier.wait()
    started = time.perf_counter()
    for process in processes:
        process.join()
    return PAIRS / (time.perf_counter() - started)


def _spread(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def _fill_ledger(url: str, name: str) -> None:
    with engine(url).connect() as connection:
        store = Store(connection)
        row = store.create(name, _SPEC, "", 1, {})
        assert row is not None
        store.propose(row.id, 0, 0, Batch([{"x": index} for index in range(PAIRS)], None, {}, 0.0, 0.0))


def _work_ledger(url: str, name: str, barrier: Any) -> None:
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        barrier.wait()
        while held := protocol.claim(connection, name, [uuid.uuid4()], "bench"):
            protocol.complete(connection, held[0], 0.5, {}, 0.0)


def _fill_peer(url: str, _name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("truncate public.job")
        connection.execute("insert into public.job (number) select generate_series(1, %s)", (PAIRS,))


def _work_peer(url: str, _name: str, barrier: Any) -> None:
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        barrier.wait()
        while (row := connection.execute(_PEER_TAKE).fetchone()) is not None:
            connection.execute(_PEER_END, row)
