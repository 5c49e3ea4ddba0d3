-- A ledger with a study under way: iteration 0 told, iteration 1 with one complete, one running and one pending trial;
-- and a study in steady mode that has ended, its last iterations a retry that failed and two imported trials. A trial of
-- the first is enqueued. A manager holds the first study. And a dataset.
--
-- A ledger of a later revision needs a value of total_pruned in each iteration that is told. The function
-- jsonb_populate_recordset ignores the key in an earlier revision.
insert into ledger.study (name, spec, spec_hash, budget, state, created_at, finished_at, versions) values
  ('under-way',
   '{"batch_size": 3, "mode": "batch", "seed": 7, "objective": {"model": "svm", "dataset": "breast_cancer"},
     "space": [{"name": "C", "type": "real", "low": 0.001, "high": 1000.0, "prior": "log-uniform"}],
     "optimizer": {"base_estimator": "GP", "acq_func": "EI"},
     "limits": {"max_failures": 3, "max_crashes": 3, "max_lost": 20, "lease": 30.0, "heartbeat": 10.0, "trial_timeout": null}}',
   repeat('0', 64), 9, 'running', now(), null, '{}'),
  ('ended',
   '{"batch_size": 1, "mode": "steady", "seed": 7, "objective": {"model": "svm", "dataset": "breast_cancer"}, "space": [], "optimizer": {},
     "limits": {"max_failures": 3, "max_crashes": 3, "max_lost": 20, "lease": 30.0, "heartbeat": 10.0, "trial_timeout": 60.0}}',
   repeat('1', 64), 2, 'complete', now() + interval '1 second', now() + interval '2 seconds', '{}');

insert into ledger.iteration
select * from jsonb_populate_recordset(null::ledger.iteration, '[
  {"study_id": 1, "number": 0, "round": 0, "size": 1, "asked_at": "now", "told_at": "now", "ask_seconds": 0.5,
   "tell_seconds": 0.5, "mean_loss": 0.25, "best_loss": 0.25, "environment": {"numpy": "2"}, "first_trial": 0, "told": 1,
   "total_proposed": 1, "total_complete": 1, "total_pruned": 0, "total_failed": 0, "total_cancelled": 0,
   "total_attempts": 1, "total_failures": 0, "total_crashes": 0, "total_lost": 0, "last_complete": 0, "improvements": [0]},
  {"study_id": 1, "number": 1, "round": 0, "size": 3, "asked_at": "now", "ask_seconds": 0.5, "tell_seconds": 0.5,
   "surrogate": {"kernel": "Matern"}, "environment": {"numpy": "2"}, "first_trial": 1}]');

insert into ledger.trial
  (study_id, number, iteration, round, source, params, state, attempts, failures, lost, available_at, claim, worker,
   claimed_at, lease_until, finished_at, loss, metrics, error)
values
  (1, 0, 0, 0, 'proposed', '{"C": 1.0}', 'complete', 1, 0, 0, now(), '00000000-0000-4000-8000-000000000000', 'w',
   now(), null, now(), 0.25, '{"accuracy": 0.75}', null),
  (1, 1, 1, 0, 'proposed', '{"C": 2.0}', 'complete', 1, 0, 0, now(), '00000000-0000-4000-8000-000000000001', 'w',
   now(), null, now(), 0.5, '{"accuracy": 0.5}', null),
  (1, 2, 1, 0, 'proposed', '{"C": 3.0}', 'running', 1, 0, 0, now(), '00000000-0000-4000-8000-000000000002', 'w',
   now(), now() + interval '1 hour', null, null, null, null),
  (1, 3, 1, 0, 'enqueued', '{"C": 4.0}', 'pending', 1, 1, 0, now(), null, 'w', now(), null, null, null, null, 'ValueError');

insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome, error, loss, seconds)
values
  ('00000000-0000-4000-8000-000000000000', 1, 0, 1, 'w', now(), now(), 'complete', null, 0.25, 1),
  ('00000000-0000-4000-8000-000000000001', 1, 1, 1, 'w', now(), now(), 'complete', null, 0.5, 1),
  ('00000000-0000-4000-8000-000000000002', 1, 2, 1, 'w', now(), null, null, null, null, null),
  ('00000000-0000-4000-8000-000000000003', 1, 3, 1, 'w', now(), now(), 'failed', 'ValueError', null, 1);

insert into ledger.worker (name, host, pid, versions, started_at, last_seen_at) values ('w', 'host', 7, '{}', now(), now());

insert into ledger.iteration
select * from jsonb_populate_recordset(null::ledger.iteration, '[
  {"study_id": 2, "number": 0, "round": 0, "size": 2, "asked_at": "now", "told_at": "now", "ask_seconds": 0.5,
   "tell_seconds": 0.5, "mean_loss": 0.25, "best_loss": 0.25, "environment": {"numpy": "2"}, "seen": [], "first_trial": 0,
   "told": 1, "total_proposed": 2, "total_complete": 1, "total_pruned": 0, "total_failed": 1, "total_cancelled": 0,
   "total_attempts": 1, "total_failures": 3, "total_crashes": 0, "total_lost": 0, "last_complete": 0, "improvements": [0]},
  {"study_id": 2, "number": 1, "round": 0, "size": 1, "asked_at": "now", "told_at": "now", "ask_seconds": 0,
   "tell_seconds": 0, "environment": {}, "first_trial": 2, "told": 2, "total_proposed": 2, "total_complete": 1,
   "total_pruned": 0, "total_failed": 2, "total_cancelled": 0, "total_attempts": 1, "total_failures": 6,
   "total_crashes": 0, "total_lost": 0, "last_complete": 0}]');

insert into ledger.trial
  (study_id, number, iteration, round, source, retry_of, params, state, attempts, failures, lost, available_at, claim,
   worker, claimed_at, lease_until, finished_at, loss, metrics, error)
values
  (2, 0, 0, 0, 'proposed', null, '{"C": 1.0}', 'complete', 1, 0, 0, now(), '00000000-0000-4000-8000-000000000004', 'w',
   now(), null, now(), 0.25, '{}', null),
  (2, 1, 0, 0, 'proposed', null, '{"C": 2.0}', 'failed', 0, 3, 0, now(), null, 'w', now(), null, now(), null, null, 'E'),
  (2, 2, 1, 0, 'retried', 1, '{"C": 2.0}', 'failed', 0, 3, 0, now(), null, 'w', now(), null, now(), null, null, 'E');

insert into ledger.iteration
select * from jsonb_populate_recordset(null::ledger.iteration, '[
  {"study_id": 2, "number": 2, "round": 0, "size": 2, "asked_at": "now", "told_at": "now", "ask_seconds": 0,
   "tell_seconds": 0, "mean_loss": 0.75, "best_loss": 0.5, "environment": {}, "first_trial": 3, "told": 3,
   "total_proposed": 2, "total_complete": 3, "total_pruned": 0, "total_failed": 2, "total_cancelled": 0,
   "total_attempts": 1, "total_failures": 6, "total_crashes": 0, "total_lost": 0, "last_complete": 4}]');

insert into ledger.trial
  (study_id, number, iteration, round, source, params, state, available_at, finished_at, loss, metrics)
values
  (2, 3, 2, 0, 'imported', '{"C": 3.0}', 'complete', now(), now(), 0.5, '{}'),
  (2, 4, 2, 0, 'imported', '{"C": 4.0}', 'complete', now(), now(), 1.0, '{}');

insert into ledger.dataset (sha256, name, content, created_at) values
  (encode(sha256('a,y'), 'hex'), 'data.csv', 'a,y', now());

insert into ledger.manager (study_id, claim, name, claimed_at, lease, lease_until) values
  (1, '00000000-0000-4000-8000-000000000009', 'm', now(), '30 s', now() - interval '1 s');
