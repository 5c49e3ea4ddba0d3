-- Return the steps at which a study's rule decides about the trials of an iteration, in increasing order. The argument
-- `stopping` is the object `stopping` of the study's spec. The answer is null if the study has no rule. With the rule
-- `promotion`, each iteration uses the next bracket: the trials of iteration i skip the first (i modulo `brackets`)
-- rungs. With the other rules, all iterations have the same rungs. The Python method
-- ledger.study.early_stopping.EarlyStopping.rungs_of computes the same result.
create or replace function ledger.rungs(stopping jsonb, iteration int default 0) returns bigint[]
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
  select case
    when given.rule = 'median' then array(
      select generate_series(least_step, last_step - 1, least_step))
    when given.rule in ('halving', 'promotion') then array(
      -- No rung is beyond 2^31, so 31 powers are enough for every eta.
      select (least_step * eta ^ place)::bigint
      from generate_series(0, 31) as place
      where least_step * eta ^ place < last_step
      order by place
      offset rungs.iteration % brackets)
  end
  from (
    select stopping ->> 'rule' as rule, (stopping ->> 'min_resource')::bigint as least_step,
           (stopping ->> 'max_resource')::bigint as last_step, (stopping ->> 'eta')::numeric as eta,
           coalesce((stopping ->> 'brackets')::int, 1) as brackets) as given
$$;

comment on function ledger.rungs is
  'The steps at which a rule of early stopping decides about the trials of an iteration, in increasing order; null '
  'without a rule.';
