-- The attempts of the trials from `first` to `first + size - 1`, grouped by worker, outcome and slot. A slot is a
-- period of time. The query divides a period of time into `slots` slots of equal length. The period starts at
-- `began_at` and lasts `seconds` seconds. An attempt belongs to the slot in which a worker claimed the trial. If the
-- database's clock was set back, the recorded end of an attempt can be before the claim. If the end is before the
-- claim, the query uses the duration 0. The query calls the function `date_part`, which returns a double. The function
-- `extract` would return a value of the type numeric. The conversion of a numeric to a double would take longer than
-- the rest of the query.
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
