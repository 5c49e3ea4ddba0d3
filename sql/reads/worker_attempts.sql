-- Count the attempts of the trials from `first` to `first + size - 1`. There is one row for each worker and outcome.
-- Each row contains the number of attempts, the time of the first claim, and the time at which the last attempt ended.
select
  worker, coalesce(outcome, 'running') as outcome, count(*) as attempts, min(claimed_at) as began_at,
  max(coalesce(ended_at, :now)) as ended_at
from ledger.attempts
where study_id = :study and trial >= :first and trial < cast(:first as int) + :size
group by worker, outcome
