-- The first study has an imported trial that another program has pruned.
update ledger.iteration set size = 7 where study_id = 1 and number = 1;
insert into ledger.trial
  (study_id, number, iteration, round, source, params, state, available_at, finished_at, pruned_step, pruned_loss)
values
  (1, 7, 1, 0, 'imported', '{"C": 8.0}', 'pruned', now(), now(), 3, 0.5);
