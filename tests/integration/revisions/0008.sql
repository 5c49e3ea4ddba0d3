-- A ledger at revision 0008 with a study under way that has the rule promotion: iteration 0 told, iteration 1 with one
-- complete, one running, one pending, one pruned and one paused trial; and a study in steady mode that has ended, its
-- last iterations a retry that failed and two imported trials. A trial of the first is enqueued.
-- A manager holds the first study. And a dataset.
insert into ledger.study (name, spec, spec_hash, budget, state, created_at, finished_at, versions) values
  ('under-way',
   '{"batch_size": 3, "mode": "batch", "seed": 7, "objective": {"model": "svm", "dataset": "breast_cancer"},
     "space": [{"name": "C", "type": "real", "low": 0.001, "high": 1000.0, "prior": "log-uniform"}],
     "optimizer": {"base_estimator": "GP", "acq_func": "EI"},
     "stopping": {"rule": "promotion", "eta": 2, "min_resource": 1, "max_resource": 3, "brackets": 1, "audit": 0.0, "enforce": false},
     "limits": {"max_failures": 3, "max_crashes": 3, "max_lost": 20, "lease": 30.0, "heartbeat": 10.0, "trial_timeout": null}}',
   repeat('0', 64), 9, 'running', now(), null, '{}'),
  ('ended',
   '{"batch_size": 1, "mode": "steady", "seed": 7, "objective": {"model": "svm", "dataset": "breast_cancer"}, "space": [], "optimizer": {},
     "limits": {"max_failures": 3, "max_crashes": 3, "max_lost": 20, "lease": 30.0, "heartbeat": 10.0, "trial_timeout": 60.0}}',
   repeat('1', 64), 2, 'complete', now() + interval '1 second', now() + interval '2 seconds', '{}');

insert into ledger.iteration
  (study_id, number, round, size, asked_at, told_at, ask_seconds, tell_seconds, mean_loss, best_loss, surrogate, environment,
   first_trial, told, total_proposed, total_complete, total_pruned, total_failed, total_cancelled, total_attempts, total_failures,
   total_crashes, total_lost, last_complete, improvements)
values
  (1, 0, 0, 1, now(), now(), 0.5, 0.5, 0.25, 0.25, null, '{"numpy": "2"}', 0, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, '{0}'),
  (1, 1, 0, 5, now(), null, 0.5, 0.5, null, null, '{"kernel": "Matern"}', '{"numpy": "2"}',
   1, null, null, null, null, null, null, null, null, null, null, null, null);

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
  (1, 3, 1, 0, 'enqueued', '{"C": 4.0}', 'pending', 2, 1, 0, now(), null, 'w', now(), null, null, null, null, 'ValueError'),
  (1, 5, 1, 0, 'proposed', '{"C": 6.0}', 'paused', 2, 0, 0, now(), null, 'w', now(), null, null, null, null, null);
insert into ledger.trial
  (study_id, number, iteration, round, source, params, state, attempts, available_at, claim, worker, claimed_at,
   finished_at, pruned_step, pruned_loss)
values
  (1, 4, 1, 0, 'proposed', '{"C": 5.0}', 'pruned', 1, now(), null, 'w', now(), now(),
   1, 0.875);

insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome, error, loss, seconds)
values
  ('00000000-0000-4000-8000-000000000000', 1, 0, 1, 'w', now(), now(), 'complete', null, 0.25, 1),
  ('00000000-0000-4000-8000-000000000001', 1, 1, 1, 'w', now(), now(), 'complete', null, 0.5, 1),
  ('00000000-0000-4000-8000-000000000002', 1, 2, 1, 'w', now(), null, null, null, null, null),
  ('00000000-0000-4000-8000-000000000003', 1, 3, 1, 'w', now(), now(), 'failed', 'ValueError', null, 1),
  ('00000000-0000-4000-8000-000000000006', 1, 3, 2, 'w', now(), now(), 'paused', null, null, 1),
  ('00000000-0000-4000-8000-000000000005', 1, 4, 1, 'w', now(), now(), 'paused', null, null, 1),
  ('00000000-0000-4000-8000-000000000007', 1, 5, 1, 'w', now(), now(), 'paused', null, null, 1),
  ('00000000-0000-4000-8000-000000000008', 1, 5, 2, 'w', now(), now(), 'paused', null, null, 1);

insert into ledger.worker (name, host, pid, versions, started_at, last_seen_at) values ('w', 'host', 7, '{}', now(), now());

insert into ledger.iteration
  (study_id, number, round, size, asked_at, told_at, ask_seconds, tell_seconds, mean_loss, best_loss, surrogate, environment,
   seen, first_trial, told, total_proposed, total_complete, total_pruned, total_failed, total_cancelled, total_attempts, total_failures,
   total_crashes, total_lost, last_complete, improvements)
values
  (2, 0, 0, 2, now(), now(), 0.5, 0.5, 0.25, 0.25, null, '{"numpy": "2"}', '{}', 0, 1, 2, 1, 0, 1, 0, 1, 3, 0, 0, 0, '{0}'),
  (2, 1, 0, 1, now(), now(), 0, 0, null, null, null, '{}', null, 2, 2, 2, 1, 0, 2, 0, 1, 6, 0, 0, 0, null);

insert into ledger.trial
  (study_id, number, iteration, round, source, retry_of, params, state, attempts, failures, lost, available_at, claim,
   worker, claimed_at, lease_until, finished_at, loss, metrics, error)
values
  (2, 0, 0, 0, 'proposed', null, '{"C": 1.0}', 'complete', 1, 0, 0, now(), '00000000-0000-4000-8000-000000000004', 'w',
   now(), null, now(), 0.25, '{}', null),
  (2, 1, 0, 0, 'proposed', null, '{"C": 2.0}', 'failed', 0, 3, 0, now(), null, 'w', now(), null, now(), null, null, 'E'),
  (2, 2, 1, 0, 'retried', 1, '{"C": 2.0}', 'failed', 0, 3, 0, now(), null, 'w', now(), null, now(), null, null, 'E');

insert into ledger.iteration
  (study_id, number, round, size, asked_at, told_at, ask_seconds, tell_seconds, mean_loss, best_loss, surrogate, environment,
   seen, first_trial, told, total_proposed, total_complete, total_pruned, total_failed, total_cancelled, total_attempts, total_failures,
   total_crashes, total_lost, last_complete, improvements)
values (2, 2, 0, 2, now(), now(), 0, 0, 0.75, 0.5, null, '{}', null, 3, 3, 2, 3, 0, 2, 0, 1, 6, 0, 0, 4, null);

insert into ledger.trial
  (study_id, number, iteration, round, source, params, state, available_at, finished_at, loss, metrics)
values
  (2, 3, 2, 0, 'imported', '{"C": 3.0}', 'complete', now(), now(), 0.5, '{}'),
  (2, 4, 2, 0, 'imported', '{"C": 4.0}', 'complete', now(), now(), 1.0, '{}');

insert into ledger.dataset (sha256, name, content, created_at) values
  (encode(sha256('a,y'), 'hex'), 'data.csv', 'a,y', now());

insert into ledger.manager (study_id, claim, name, claimed_at, lease, lease_until) values
  (1, '00000000-0000-4000-8000-000000000009', 'm', now(), '30 s', now() - interval '1 s');

-- Both studies and a trial that has ended are annotated, and the ended study is archived.
update ledger.study set archived_at = now() where name = 'ended';
insert into ledger.study_annotation (study_id, tags, note, attributes, annotated_by, annotated_at) values
  (1, '{paper}', 'a note', '{"ticket": 117}', 'postgres', now()),
  (2, '{}', 'another note', '{}', 'postgres', now());
insert into ledger.trial_annotation (study_id, trial, tags, note, attributes, annotated_by, annotated_at) values
  (1, 0, '{odd}', null, '{}', 'postgres', now());

insert into ledger.report (study_id, trial, attempt, step, loss, metrics, reported_at) values
  (1, 1, 1, 0, 0.75, null, now()),
  (1, 1, 1, 1, null, '{"rate": 0.1}', now()),
  (1, 2, 1, 0, 0.5, null, now()),
  (1, 3, 2, 1, 0.5, null, now()),
  (1, 4, 1, 1, 0.875, null, now()),
  (1, 5, 1, 1, 0.25, null, now()),
  (1, 5, 2, 2, 0.125, null, now());

insert into ledger.cutoff (study_id, iteration, rung, loss, compared, trial) values
  (1, 0, 1, null, 1, null), (1, 1, 1, 0.875, 4, 4);
insert into ledger.verdict
  (study_id, trial, rung, attempt, step, loss, cutoff, compared, arrival, stops, audited, decided_at)
values
  (1, 1, 1, 1, 1, null, 0.875, 4, null, true, false, now()),
  (1, 3, 1, 2, 1, 0.5, 0.875, 4, null, false, false, now()),
  (1, 4, 1, 1, 1, 0.875, 0.875, 4, null, true, false, now()),
  (1, 5, 1, 1, 1, 0.25, 0.875, 4, null, false, false, now());

-- The first trial has an artifact that the ledger keeps, and one that a worker began and never saved. The running trial
-- has an artifact in a store.
insert into ledger.artifact_content (id, store, sha256, size, begun_at, stored_at) values
  ('00000000-0000-4000-8000-0000000000a1', null, encode(sha256('model'), 'hex'), 5, now(), now()),
  ('00000000-0000-4000-8000-0000000000a2', null, encode(sha256('half'), 'hex'), 4, now(), null),
  ('00000000-0000-4000-8000-0000000000a3', 's3://bucket/artifacts', encode(sha256('far'), 'hex'), 3, now(), now());
insert into ledger.artifact_piece (content, number, bytes) values
  ('00000000-0000-4000-8000-0000000000a1', 0, 'model');
insert into ledger.artifact (study_id, trial, attempt, name, sha256, size, store, content, uploading, saved_at)
select attempt.study_id, attempt.trial, attempt.number, wanted.name, known.sha256, known.size, known.store, known.id,
  null, now()
from ledger.trial
join ledger.attempt on attempt.study_id = trial.study_id and attempt.trial = trial.number
join (values ('complete', 'model.bin', '00000000-0000-4000-8000-0000000000a1'::uuid),
             ('running', 'far.bin', '00000000-0000-4000-8000-0000000000a3'::uuid)) as wanted (state, name, content)
  on wanted.state = trial.state
join ledger.artifact_content as known on known.id = wanted.content
where trial.study_id = 1;
insert into ledger.artifact (study_id, trial, attempt, name, uploading)
select study_id, trial, number, 'half.bin', '00000000-0000-4000-8000-0000000000a2'
from ledger.attempt
where study_id = 1 and outcome = 'complete';

-- The running trial has two checkpoints.
insert into ledger.artifact_content (id, store, sha256, size, begun_at, stored_at) values
  ('00000000-0000-4000-8000-0000000000a4', 's3://bucket/artifacts', encode(sha256('one'), 'hex'), 3, now(), now()),
  ('00000000-0000-4000-8000-0000000000a5', 's3://bucket/artifacts', encode(sha256('two'), 'hex'), 3, now(), now());
insert into ledger.artifact (study_id, trial, attempt, name, sha256, size, store, content, saved_at)
select attempt.study_id, attempt.trial, attempt.number, wanted.name, known.sha256, known.size, known.store, known.id, now()
from ledger.trial
join ledger.attempt on attempt.study_id = trial.study_id and attempt.trial = trial.number
join (values ('.checkpoint-4', '00000000-0000-4000-8000-0000000000a4'::uuid),
             ('.checkpoint-9', '00000000-0000-4000-8000-0000000000a5'::uuid)) as wanted (name, content) on true
join ledger.artifact_content as known on known.id = wanted.content
where trial.study_id = 1 and trial.state = 'running';
