"""A study with known times, for tests of views and queries."""

import json
from datetime import UTC, datetime
from typing import Any

import psycopg

from tests.integration.ledgers import LIMITS

SPACE = [
    {"name": "C", "type": "real", "low": 0.01, "high": 100.0, "prior": "log-uniform"},
    {"name": "depth", "type": "integer", "low": 2, "high": 10, "prior": "uniform"},
    {"name": "kernel", "type": "categorical", "choices": ["rbf", "poly"]},
    {"name": "bins", "type": "categorical", "choices": [8, 16]},
]

# Times are seconds after the creation of the study. It has two iterations, asked at 10 s and at 100 s.
# Trial 0 waits 5 s, is held for 20 s, and is complete. Trial 1 is lost by worker a, waits 5 s, and is completed by b.
# The late result of a is stale. Trial 2 fails twice, and has failed. Trial 3 is a complete retry of 2. Trial 4 was
# never claimed.
ROWS = """
insert into ledger.study (name, spec, spec_hash, budget, state, created_at, finished_at, versions)
values ('s', %(spec)s, '', 4, 'complete', %(t)s, %(t)s + interval '200 s', '{}');
insert into ledger.iteration (study_id, number, first_trial, round, size, asked_at, ask_seconds, tell_seconds,
  environment)
values
  (1, 0, 0, 0, 3, %(t)s + interval '10 s', 0.5, 0.25, '{}'),
  (1, 1, 3, 0, 2, %(t)s + interval '100 s', 1.5, 1.25, '{}');
insert into ledger.trial (study_id, number, iteration, round, source, retry_of, params, state, attempts, failures, lost,
  available_at, claim, worker, claimed_at, finished_at, loss, metrics, error)
select 1, number, iteration, 0, source, retry_of, params::jsonb, state, attempts, failures, lost,
  %(t)s + make_interval(secs => available), case when state = 'complete' then gen_random_uuid() end, worker, %(t)s,
  case when ended is not null then %(t)s + make_interval(secs => ended) end, loss, metrics::jsonb, error
from (values
  (0, 0, 'proposed', null, '{"C": 1.0, "depth": 4, "kernel": "rbf", "bins": 8}', 'complete', 1, 0, 0, 10, 'a', 35, 0.5,
   '{"accuracy": 0.5}', null),
  (1, 0, 'proposed', null, '{"C": 0.01, "depth": 10, "kernel": "poly", "bins": 16}', 'complete', 2, 0, 1, 50, 'b', 65,
   0.25, '{"accuracy": [0.75]}', null),
  (2, 0, 'proposed', null, '{"C": 10, "depth": 2, "kernel": "rbf", "bins": 8}', 'failed', 2, 2, 0, 40, 'b', 50, null,
   null, 'ValueError'),
  (3, 1, 'retried', 2, '{"C": 10, "depth": 2, "kernel": "rbf", "bins": 8}', 'complete', 1, 0, 0, 100, 'b', 112, 0.75,
   '{"accuracy": "high"}', null),
  (4, 1, 'proposed', null, '{"C": 100.0, "depth": 6, "kernel": "rbf", "bins": 16}', 'cancelled', 0, 0, 0, 100, null,
   160, null, null, 'enough')) as rows (number, iteration, source, retry_of, params, state, attempts, failures, lost,
  available, worker, ended, loss, metrics, error);
insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome, loss, seconds)
select gen_random_uuid(), 1, trial, number, worker, %(t)s + make_interval(secs => claimed),
  %(t)s + make_interval(secs => ended), outcome, loss, seconds
from (values
  (0, 1, 'a', 15, 35, 'complete', 0.5, 16.0),
  (1, 1, 'a', 20, 80, 'stale', 0.125, 30.0),
  (1, 2, 'b', 55, 65, 'complete', 0.25, 8.0),
  (2, 1, 'b', 30, 40, 'failed', null, 9.0),
  (2, 2, 'b', 45, 50, 'failed', null, null),
  (3, 1, 'b', 102, 112, 'complete', 0.75, 7.0)) as rows (trial, number, worker, claimed, ended, outcome, loss, seconds);
insert into ledger.worker (name, host, pid, versions, started_at, last_seen_at, stopped_at)
values ('b', 'host', 7, '{}', %(t)s - interval '50 s', %(t)s + interval '150 s', %(t)s + interval '150 s');
select ledger.mark_told(1, 0, %(t)s + interval '85 s', 0.375, 0.25);
select ledger.mark_told(1, 1, %(t)s + interval '165 s', 0.75, 0.75);
"""

SPEC = json.dumps(
    {"batch_size": 3, "seed": 7, "objective": {"model": "svm"}, "space": SPACE, "optimizer": {}, "limits": LIMITS}
)


def insert(connection: psycopg.Connection[Any]) -> None:
    """Insert the study as the first study of a ledger, with the name s."""
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(ROWS, {"spec": SPEC, "t": datetime(2026, 1, 1, tzinfo=UTC)})
