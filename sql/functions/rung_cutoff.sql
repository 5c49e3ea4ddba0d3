-- Return the loss below which a trial goes on at a rung. The function computes this loss from the losses of the other
-- trials at the rung. A null loss stands for NaN, which is the worst loss. The answer is infinity if every trial with a
-- loss goes on, and null if fewer than `eta` trials have reached the rung. The Python function
-- ledger.study.verdicts.cutoff computes the same result.
create or replace function ledger.rung_cutoff(rule text, eta int, losses float8[]) returns float8
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
  select case when cardinality(losses) >= eta then
    (array(select coalesce(given.loss, 'infinity') from unnest(losses) as given (loss) order by 1))[
      -- The best 1/eta of the trials go on. These trials include the trial for which the function computes the cutoff.
      case when rule = 'halving' then greatest(1, (cardinality(losses) + 1) / eta) else cardinality(losses) / 2 + 1 end]
  end
$$;

comment on function ledger.rung_cutoff is
  'The loss below which a trial goes on at a rung; infinity if every trial with a loss goes on, and null if too few '
  'trials have reached the rung.';
