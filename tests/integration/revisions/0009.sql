-- A failed trial of the first study has reports, and the hash of its reports.
update ledger.iteration set size = 6 where study_id = 1 and number = 1;
insert into ledger.report (study_id, trial, attempt, step, loss, metrics, reported_at) values
  (1, 6, 1, 0, 0.5, null, now());
insert into ledger.trial
  (study_id, number, iteration, round, source, params, state, attempts, failures, available_at, worker, claimed_at,
   finished_at, error, reports_sha256)
values
  (1, 6, 1, 0, 'proposed', '{"C": 7.0}', 'failed', 1, 1, now(), 'w', now(), now(), 'e',
   sha256('\x0000000100000000000000003fe0000000000000'));
insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at, ended_at, outcome, error) values
  ('00000000-0000-4000-8000-000000000008', 1, 6, 1, 'w', now(), now(), 'failed', 'e');
