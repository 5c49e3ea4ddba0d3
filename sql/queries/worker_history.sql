-- What did a worker do? The query shows the attempts of each worker in the order in which the worker claimed the
-- trials. For each attempt, the query shows the outcome, the seconds for which the worker held the trial, and the
-- training time in seconds.
-- psql -f sql/queries/worker_history.sql shows all attempts. Add -v worker=NAME or -v study=NAME to select attempts.
\if :{?worker} \else \set worker '' \endif
\if :{?study} \else \set study '' \endif
select worker, date_trunc('second', claimed_at) as claimed_at, study, trial, attempt,
  coalesce(outcome, 'under way') as outcome,
  round(greatest(extract(epoch from coalesce(ended_at, ledger.clock()) - claimed_at), 0), 2) as held_seconds,
  round(seconds::numeric, 2) as training_seconds, round(value::numeric, 4) as value
from ledger.attempts
where :'worker' in (worker, '') and :'study' in (study, '')
order by worker, attempts.claimed_at, study, trial;
