-- Return the group of a trial in its iteration. The rule `halving` with the key `group_size` divides the trials of an
-- iteration into groups, in the order of the trials' numbers. The Python method
-- ledger.study.early_stopping.EarlyStopping.group_of computes the same number.
--   size: the key `group_size` of the object `stopping` in the study's spec.
--   number: the number of the group, from 0.
--   first: the number of the first trial of the group.
create or replace function ledger.trial_group(
  study_id int, iteration int, trial int, size int, out number int, out first int)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select (trial_group.trial - own.first_trial) / trial_group.size,
         trial_group.trial - (trial_group.trial - own.first_trial) % trial_group.size
  from ledger.iteration as own
  where own.study_id = trial_group.study_id and own.number = trial_group.iteration
$$;

comment on function ledger.trial_group is
  'The number of the group of a trial in its iteration, from 0, and the first trial of the group. Internal.';
