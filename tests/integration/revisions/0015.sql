-- The first study has a report of a step below an earlier report.
insert into ledger.report (study_id, trial, attempt, step, loss, metrics, reported_at, after_step) values
  (1, 1, 1, 3, 0.25, null, now(), null),
  (1, 1, 1, 2, 0.5, null, now(), 3);
