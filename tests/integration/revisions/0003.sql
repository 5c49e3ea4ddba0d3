-- Trials of the first study have reported values.
insert into ledger.report (study_id, trial, attempt, step, loss, metrics, reported_at) values
  (1, 1, 1, 0, 0.75, null, now()),
  (1, 1, 1, 1, null, '{"rate": 0.1}', now()),
  (1, 2, 1, 0, 0.5, null, now());
