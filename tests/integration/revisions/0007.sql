-- The first study stops trials early, and has a pruned trial in iteration 1.
update ledger.study
set spec = spec || '{"stopping": {"rule": "halving", "eta": 2, "min_resource": 1, "max_resource": 3, "audit": 0.0, "enforce": false}}'
where name = 'under-way';
update ledger.iteration set size = 4 where study_id = 1 and number = 1;
insert into ledger.trial
  (study_id, number, iteration, round, source, params, state, attempts, available_at, claim, worker, claimed_at,
   finished_at, pruned_step, pruned_loss)
values
  (1, 4, 1, 0, 'proposed', '{"C": 5.0}', 'pruned', 1, now(), '00000000-0000-4000-8000-000000000005', 'w', now(), now(),
   1, 0.875);
insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome, seconds) values
  ('00000000-0000-4000-8000-000000000005', 1, 4, 1, 'w', now(), now(), 'pruned', 1);
insert into ledger.report (study_id, trial, attempt, step, loss, metrics, reported_at) values
  (1, 4, 1, 1, 0.875, null, now());
insert into ledger.cutoff (study_id, iteration, rung, loss, compared) values
  (1, 0, 1, null, 0), (1, 0, 2, null, 0), (1, 1, 1, 0.5, 2), (1, 1, 2, null, 1);
insert into ledger.verdict
  (study_id, trial, rung, attempt, step, loss, cutoff, compared, arrival, stops, audited, decided_at)
values
  (1, 1, 1, 1, 1, null, 0.5, 2, null, false, true, now()),
  (1, 4, 1, 1, 1, 0.875, 0.5, 2, null, true, false, now());
