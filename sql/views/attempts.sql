-- Every attempt, without its claim, which belongs to its holder alone. One without an outcome is under way.
create or replace view ledger.attempts as
select
  attempt.study_id,
  study.name as study,
  attempt.trial,
  attempt.number,
  attempt.worker,
  attempt.claimed_at,
  attempt.ended_at,
  attempt.outcome,
  attempt.loss,
  attempt.seconds,
  attempt.error
from ledger.attempt
join ledger.study on study.id = attempt.study_id;

comment on view ledger.attempts is 'Every attempt: one claim of a trial by a worker, and how it ended.';
comment on column ledger.attempts.study is 'Name of the study.';
