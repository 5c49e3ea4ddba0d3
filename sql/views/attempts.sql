-- All attempts. The view does not show the claims, because only the worker that holds a trial may know the trial's
-- claim. An attempt without an outcome has not ended.
create or replace view ledger.attempts as
select
  attempt.study_id,
  study.name as study,
  attempt.trial,
  attempt.number as attempt,
  attempt.worker,
  attempt.claimed_at,
  attempt.ended_at,
  attempt.outcome,
  attempt.loss,
  ledger.value(attempt.loss, study.direction, study.loss_of_zero) as value,
  attempt.seconds,
  attempt.error,
  attempt.output
from ledger.attempt
join ledger.study on study.id = attempt.study_id;

comment on view ledger.attempts is 'All attempts: the executions of trials by workers, with their outcomes.';
comment on column ledger.attempts.study is 'Name of the study.';
comment on column ledger.attempts.value is
  'Value that the objective returned; null without a value. The value of a stale attempt does not count.';
comment on column ledger.attempts.attempt is 'Number of the attempt within the trial, from 1.';
