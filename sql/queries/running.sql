-- Which trials are in training, with which worker, and since when? A negative value of `lease_seconds` means that the
-- lease has expired. If a trial gets no heartbeat for the length of one lease, the manager takes the trial back from
-- the worker.
-- psql -f sql/queries/running.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, trial, worker, attempts as attempt,
  round(greatest(extract(epoch from ledger.clock() - claimed_at), 0), 1) as held_seconds,
  round(extract(epoch from lease_until - ledger.clock()), 1) as lease_seconds,
  round(extract(epoch from deadline_at - ledger.clock()), 1) as seconds_to_deadline, params
from ledger.trials
where state = 'running' and :'study' in (study, '')
order by claimed_at, study, trial;
