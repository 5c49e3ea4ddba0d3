-- The first study has a pruned trial whose last loss was NaN.
update ledger.iteration set size = 8 where study_id = 1 and number = 1;
insert into ledger.trial
  (study_id, number, iteration, round, source, params, state, available_at, finished_at, pruned_step, pruned_loss)
values
  (1, 8, 1, 0, 'imported', '{"C": 9.0}', 'pruned', now(), now(), 3, null);
