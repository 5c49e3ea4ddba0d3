-- How the attempts of each study ended, one row a study and outcome.
create or replace view ledger.outcomes as
select
  study.name as study,
  coalesce(attempt.outcome, 'under way') as outcome,
  count(*) as attempts,
  count(distinct attempt.trial) as trials,
  count(distinct attempt.worker) as workers,
  coalesce(sum(attempt.seconds), 0) as training_seconds,
  sum(extract(epoch from coalesce(attempt.ended_at, ledger.clock()) - attempt.claimed_at))::float8 as claimed_seconds,
  max(attempt.ended_at) as last_ended_at
from ledger.attempt
join ledger.study on study.id = attempt.study_id
group by study.name, attempt.outcome;

comment on view ledger.outcomes is 'How the attempts of each study ended, one row a study and outcome.';
comment on column ledger.outcomes.study is 'Name of the study.';
comment on column ledger.outcomes.outcome is
  'complete, failed, lost, released, timeout, stale (as in ledger.attempts), or under way.';
comment on column ledger.outcomes.attempts is 'Attempts with this outcome, at least 1.';
comment on column ledger.outcomes.trials is 'Trials with such an attempt.';
comment on column ledger.outcomes.workers is 'Workers with such an attempt.';
comment on column ledger.outcomes.training_seconds is
  'Seconds of training in them, as the workers measured them; what was not measured counts as none.';
comment on column ledger.outcomes.claimed_seconds is 'Seconds from their claims to their ends, or to now.';
comment on column ledger.outcomes.last_ended_at is 'When the last of them ended; null while they are under way.';
