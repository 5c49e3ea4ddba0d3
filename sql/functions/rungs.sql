-- The steps at which a study's rule decides, in increasing order. The argument is the object `stopping` of the study's
-- spec. The answer is null if the study has no rule. ledger.study.early_stopping.EarlyStopping.rungs computes the same.
create or replace function ledger.rungs(stopping jsonb) returns bigint[]
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
  select case stopping ->> 'rule'
    when 'median' then array(
      select generate_series(least_step, last_step - 1, least_step))
    when 'halving' then array(
      -- No rung is beyond 2^31, so 31 powers are enough for every eta.
      select (least_step * eta ^ place)::bigint
      from generate_series(0, 31) as place
      where least_step * eta ^ place < last_step
      order by place)
  end
  from (
    select (stopping ->> 'min_resource')::bigint as least_step, (stopping ->> 'max_resource')::bigint as last_step,
           (stopping ->> 'eta')::numeric as eta) as given
$$;

comment on function ledger.rungs is
  'The steps at which a rule of early stopping decides, in increasing order; null without a rule.';
