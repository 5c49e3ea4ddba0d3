-- The names of the metrics of a study's trials. For each metric, the query lists the JSON types of the metric's values,
-- except the type null.
select metric.key,
  coalesce(array_agg(distinct jsonb_typeof(metric.value)) filter (where metric.value <> 'null'), '{}')
from ledger.trials
cross join lateral jsonb_each(trials.metrics) as metric
where trials.study_id = :study
group by metric.key
order by metric.key
