-- The trial below which a trial goes on at a rung of the rule `promotion`. The best 1/eta of the trials go on, and at
-- least one. With fewer than `eta` trials, each trial with a loss goes on. ledger.study.verdicts.promotion_cutoff
-- computes the same.
--   losses, trials: the loss and the number of each compared trial that has reached the rung. In batch mode, these are
--     the trials of the iteration. In steady mode, these are the first arrivals. A loss that is null is a NaN. A trial
--     with a NaN never goes on.
--   loss, trial: the loss and the number of the best trial that does not go on. Both are null if each trial with a loss
--     goes on.
create or replace function ledger.promotion_cutoff(
  eta int, losses float8[], trials int[], out loss float8, out trial int)
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
  select given.loss, given.trial
  from unnest(losses, trials) as given (loss, trial)
  where given.loss is not null and cardinality(losses) >= eta
  order by given.loss, given.trial
  offset greatest(1, cardinality(losses) / eta)
  limit 1
$$;

comment on function ledger.promotion_cutoff is
  'The loss and the number of the best trial that a rung of the rule promotion does not let go on; null if each trial '
  'with a loss goes on. Internal.';

-- Whether a trial goes on at a rung of the rule `promotion`. The Python function ledger.study.verdicts.goes_on computes
-- the same result.
--   loss, trial: the loss at the rung and the number of the trial. A null loss stands for NaN.
--   cutoff, cutoff_trial: the result of ledger.promotion_cutoff.
create or replace function ledger.goes_on(loss float8, trial int, cutoff float8, cutoff_trial int) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
  select loss is not null and (cutoff is null or (loss, trial) < (cutoff, cutoff_trial))
$$;

comment on function ledger.goes_on is
  'Whether a trial goes on at a rung of the rule promotion. Internal.';
