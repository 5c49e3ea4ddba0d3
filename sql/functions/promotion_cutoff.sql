-- Return the best compared trial that is not among the best 1/eta of the compared trials of a rung. Even if 1/eta of the
-- trials is less than one trial, the best trial goes on. If the rung compares fewer than `eta` trials, every trial with a
-- loss goes on. Only the rule `promotion` uses this cutoff. The Python function ledger.study.verdicts.promotion_cutoff
-- computes the same result.
--   losses, trials: the loss and the number of each compared trial. In batch mode, ledger.promote chooses the compared
--     trials. In steady mode, the compared trials are all trials that have arrived at the rung up to a given arrival. A
--     null loss stands for NaN. A trial with the loss NaN never goes on.
--   loss, trial: the loss and the number of this trial. The loss and the number are null if every trial with a loss goes
--     on.
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
  'The loss and the number of the best compared trial that is not among the best 1/eta of the compared trials of a rung '
  'of the rule promotion; null if each trial with a loss goes on. Internal.';

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
