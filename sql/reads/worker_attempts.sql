-- Count the attempts of the trials from `first` to `first + size - 1`. Each row has the number of attempts of one
-- worker with one outcome, and the time from the first claim to the last end.
select
  worker, coalesce(outcome, 'running') as outcome, count(*) as attempts, min(claimed_at) as began_at,
  max(coalesce(ended_at, :now)) as ended_at
from ledger.attempts
where study_id = :study and trial >= :first and trial < cast(:first as int) + :size
group by worker, outcome
