-- Whether a rung stops a trial with the given loss. The Python function ledger.study.verdicts.stops computes the same
-- result.
--   compared: the number of other trials with which the rung compares the trial. If the number is lower than `eta`, the
--     rung stops no trial.
--   loss: the loss at the rung. Null stands for NaN, which is the worst loss.
--   cutoff: the loss below which a trial goes on, or null if every trial with a loss goes on.
create or replace function ledger.is_stopped(eta int, compared int, loss float8, cutoff float8) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
  select compared >= eta and coalesce(loss >= cutoff, loss is null)
$$;

comment on function ledger.is_stopped is
  'Whether a rung stops a trial with the given loss, which is null for NaN. Internal.';
