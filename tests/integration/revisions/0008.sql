-- The first study pauses and promotes trials, and has a paused trial in iteration 1. A cutoff names a trial.
update ledger.study
set spec = jsonb_set(spec, '{stopping}', spec -> 'stopping' || '{"rule": "promotion", "brackets": 1}')
where name = 'under-way';
update ledger.iteration set size = 5 where study_id = 1 and number = 1;
insert into ledger.trial
  (study_id, number, iteration, round, source, params, state, attempts, available_at, worker, claimed_at)
values
  (1, 5, 1, 0, 'proposed', '{"C": 6.0}', 'paused', 1, now(), 'w', now());
insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome, seconds) values
  ('00000000-0000-4000-8000-000000000007', 1, 5, 1, 'w', now(), now(), 'paused', 1);
insert into ledger.report (study_id, trial, attempt, step, loss, metrics, reported_at) values
  (1, 5, 1, 1, 0.25, null, now());
insert into ledger.cutoff (study_id, iteration, rung, loss, compared, trial) values
  (1, 1, 3, 0.875, 4, 4);

-- The second study is in steady mode, and a trial that waited at a rung went on.
insert into ledger.promotion (study_id, trial, rung, arrivals, promoted_at) values
  (2, 0, 1, 6, now());
