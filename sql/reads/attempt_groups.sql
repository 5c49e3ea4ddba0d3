-- The attempts of the trials from `first` to `first + size - 1`, in groups with the same worker, outcome and slot. The
-- query divides the `seconds` seconds after `began_at` into `slots` slots of equal length. An attempt belongs to the
-- slot of its claim. If the database's clock was set back, an attempt can end before its claim. The query counts such
-- an attempt as 0 seconds. The function date_part returns a double. The function extract would return a numeric, whose
-- conversion takes longer than the rest of the query.
select
  worker, outcome, slot, count(*) as attempts, min(claimed_at) as began_at, max(ended_at) as ended_at,
  sum(greatest(ended_at - claimed_at, interval '0')) as busy, min(trial) as first_trial, max(trial) as last_trial
from (
  select
    worker, coalesce(outcome, 'running') as outcome, trial, claimed_at, coalesce(ended_at, :now) as ended_at,
    least(floor(date_part('epoch', claimed_at - :began_at) / :seconds * :slots), :slots - 1)::int as slot
  from ledger.attempts
  where study_id = :study and trial >= :first and trial < cast(:first as int) + :size and worker = any (:workers)) as attempt
group by worker, outcome, slot
