-- Return the paused trials that can go on now, in a study in steady mode with the rule `promotion`. A paused trial
-- (ledger.paused_trials) can go on when the trial has become one of the best 1/eta of all arrivals at its rung
-- (ledger.promotion_cutoff). The rows of the highest rung come first. At each rung, the best trial comes first.
--   stopping: the object `stopping` of the study's spec.
--   arrivals: the number of arrivals at the rung.
create or replace function ledger.ready_for_promotion(study_id int, stopping jsonb)
returns table (rung bigint, trial int, loss float8, arrivals int)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  with waiting as materialized (
    select found.rung, found.trial, found.loss from ledger.paused_trials(ready_for_promotion.study_id) as found),
  arrived as materialized (
    select
      reached.rung, count(*)::int as arrivals, array_agg(verdict.loss) as losses, array_agg(verdict.trial) as trials
    from (select distinct waiting.rung from waiting) as reached
    join ledger.verdict on verdict.study_id = ready_for_promotion.study_id and verdict.rung = reached.rung
    group by reached.rung),
  limiting as materialized (
    select arrived.rung, arrived.arrivals, best.loss, best.trial
    from arrived
    cross join lateral ledger.promotion_cutoff(
      (ready_for_promotion.stopping ->> 'eta')::int, arrived.losses, arrived.trials) as best)
  select waiting.rung, waiting.trial, waiting.loss, limiting.arrivals
  from waiting
  join limiting on limiting.rung = waiting.rung
  where ledger.goes_on(waiting.loss, waiting.trial, limiting.loss, limiting.trial)
  order by waiting.rung desc, waiting.loss, waiting.trial
$$;

comment on function ledger.ready_for_promotion is
  'The paused trials of a study in steady mode that can go on now, the best trials of the highest rung first. Internal.';
