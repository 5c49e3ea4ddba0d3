-- How busy was each worker? The column `present_seconds` contains the time for which the worker was present. The column
-- `busy_percent` contains the percentage of `present_seconds` in which the worker held a trial.
-- psql -f sql/queries/worker_activity.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select utilisation.study, utilisation.worker, workers.host,
  case when workers.stopped_at is not null then 'left' when workers.alive then 'here'
       when workers.worker is not null then 'silent' end as presence,
  utilisation.attempts, utilisation.complete,
  round(utilisation.present_seconds::numeric, 1) as present_seconds,
  round(utilisation.busy_seconds::numeric, 1) as busy_seconds,
  round(utilisation.training_seconds::numeric, 1) as training_seconds,
  round(100 * utilisation.utilisation::numeric) as busy_percent
from ledger.utilisation
left join ledger.workers on workers.worker = utilisation.worker
where :'study' in (utilisation.study, '')
order by utilisation.study, workers.started_at, utilisation.worker;
