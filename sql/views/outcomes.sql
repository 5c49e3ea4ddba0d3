-- The number of attempts with each outcome, in one row for each study and outcome.
create or replace view ledger.outcomes as
select
  study.name as study,
  coalesce(attempt.outcome, 'under way') as outcome,
  count(*) as attempts,
  count(distinct attempt.trial) as trials,
  count(distinct attempt.worker) as workers,
  coalesce(sum(attempt.seconds), 0) as training_seconds,
  -- The function `greatest` prevents a negative duration if the database's clock was set back during an attempt.
  sum(greatest(extract(epoch from coalesce(attempt.ended_at, ledger.clock()) - attempt.claimed_at), 0))::float8
    as claimed_seconds,
  max(attempt.ended_at) as last_ended_at
from ledger.attempt
join ledger.study on study.id = attempt.study_id
group by study.name, attempt.outcome;

comment on view ledger.outcomes is 'The numbers of attempts with each outcome; one row for each study and outcome.';
comment on column ledger.outcomes.study is 'Name of the study.';
comment on column ledger.outcomes.outcome is
  'complete, paused, pruned, failed, crashed, lost, released, timeout or stale, as in ledger.attempts; under way for '
  'attempts that have not ended.';
comment on column ledger.outcomes.attempts is 'Number of attempts with this outcome, at least 1.';
comment on column ledger.outcomes.trials is 'Number of trials with such an attempt.';
comment on column ledger.outcomes.workers is 'Number of workers with such an attempt.';
comment on column ledger.outcomes.training_seconds is
  'Seconds of training in these attempts, as measured by the workers; attempts without a measurement count as 0.';
comment on column ledger.outcomes.claimed_seconds is 'Seconds from the claims to the ends of the attempts, or to now.';
comment on column ledger.outcomes.last_ended_at is
  'Time when the last of these attempts ended; null if no attempt has ended.';
