-- What did a worker do? Its attempts in order, with their outcomes, and the seconds of holding and of training.
-- psql -f sql/queries/worker_history.sql, or with -v worker=NAME for one worker, or with -v study=NAME for one study.
\if :{?worker} \else \set worker '' \endif
\if :{?study} \else \set study '' \endif
select worker, date_trunc('second', claimed_at) as claimed_at, study, trial, number as attempt,
  coalesce(outcome, 'under way') as outcome,
  round(extract(epoch from coalesce(ended_at, ledger.clock()) - claimed_at), 2) as held_seconds,
  round(seconds::numeric, 2) as training_seconds, round(loss::numeric, 4) as loss
from ledger.attempts
where :'worker' in (worker, '') and :'study' in (study, '')
order by worker, attempts.claimed_at, study, trial;
