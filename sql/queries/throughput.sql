-- How many attempts end in each hour? For each hour, the query shows the number of complete attempts, the number of
-- failed attempts, and the study's best value up to the end of the hour.
-- psql -f sql/queries/throughput.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select hours.study, hours.hour, hours.complete, hours.failed, hours.workers,
  round(hours.training_seconds::numeric, 1) as training_seconds,
  round(ledger.value(min(hours.best_loss) over (partition by hours.study order by hours.hour), studies.direction,
    studies.loss_of_zero)::numeric, 4) as best_so_far
from (
  select study, date_trunc('hour', ended_at) as hour,
    count(*) filter (where outcome = 'complete') as complete,
    count(*) filter (where outcome in ('failed', 'crashed', 'timeout')) as failed,
    count(distinct worker) as workers,
    coalesce(sum(seconds), 0) as training_seconds,
    min(loss) filter (where outcome = 'complete') as best_loss
  from ledger.attempts
  where ended_at is not null and :'study' in (study, '')
  group by study, hour) as hours
join ledger.studies on studies.study = hours.study
order by hours.study, hours.hour;
