-- The first study has a cutoff of a group.
insert into ledger.cutoff (study_id, iteration, rung, group_number, loss, compared) values
  (1, 1, 9, 2, 0.5, 4);
