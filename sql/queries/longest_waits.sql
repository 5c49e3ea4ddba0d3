-- Which trials waited longest for a worker? The query shows the ten trials with the longest time in the queue. The time
-- in the queue includes the time from the end of an attempt to the next claim of the trial.
-- psql -f sql/queries/longest_waits.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, trial, iteration, state, attempts, round(queue_seconds::numeric, 2) as queue_seconds,
  round(claimed_seconds::numeric, 2) as claimed_seconds, round(training_seconds::numeric, 2) as training_seconds
from ledger.trial_times
where queue_seconds is not null and :'study' in (study, '')
order by trial_times.queue_seconds desc, study, trial
limit 10;
