-- The names of the metrics of a study's trials. For each metric, the query lists the JSON types of the metric's values,
-- except the type null.
select key, coalesce(array_agg(distinct jsonb_typeof(value)) filter (where value <> 'null'), '{}')
from ledger.trials
cross join lateral jsonb_each(metrics)
where study_id = :study
group by key
order by key
