-- The names of the metrics in the next `size` trials after the trial with the number `after`. For each metric, the
-- query returns one row for each JSON type of the metric's values. Each row also contains the number of the last trial
-- that the query has read. If the trials have no metrics, the query returns one row in which the column `key` is null.
with page as materialized (
  select trial as number, metrics from ledger.trials
  where study_id = :study and trial > :after
  order by trial
  limit :size)
select found.key, found.kind, last.number
from (select max(number) as number from page) as last
left join (
  select key, jsonb_typeof(value) as kind
  from page
  cross join lateral jsonb_each(metrics)
  group by key, jsonb_typeof(value)) as found on true
where last.number is not null
