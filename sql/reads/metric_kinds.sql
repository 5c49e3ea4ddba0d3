-- The names of the metrics of the study's next `size` trials after the trial `after`, with a row for each JSON type of the
-- metric's values. Each row also contains the number of the last trial that the query has read. If the trials have no
-- metrics, the query returns one row without a name.
with page as materialized (
  select number, metrics from ledger.trials
  where study_id = :study and number > :after
  order by number
  limit :size)
select found.key, found.kind, last.number
from (select max(number) as number from page) as last
left join (
  select key, jsonb_typeof(value) as kind
  from page
  cross join lateral jsonb_each(metrics)
  group by key, jsonb_typeof(value)) as found on true
where last.number is not null
