-- The loss below which a trial goes on at a rung, from the losses of the other trials at the rung. A loss that is null
-- is a NaN, and is the worst loss. The answer is infinity if every trial with a loss goes on, and null if fewer than
-- `eta` trials have reached the rung. ledger.study.verdicts.cutoff computes the same.
create or replace function ledger.rung_cutoff(rule text, eta int, losses float8[]) returns float8
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
  select case when cardinality(losses) >= eta then
    (array(select coalesce(given.loss, 'infinity') from unnest(losses) as given (loss) order by 1))[
      -- The trial itself is one of the trials of which the best 1/eta go on.
      case when rule = 'halving' then greatest(1, (cardinality(losses) + 1) / eta) else cardinality(losses) / 2 + 1 end]
  end
$$;

comment on function ledger.rung_cutoff is
  'The loss below which a trial goes on at a rung; infinity if every trial with a loss goes on, and null if too few '
  'trials have reached the rung.';
