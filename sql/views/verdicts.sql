-- The verdicts of early stopping: one row for each rung that a trial has reached.
create or replace view ledger.verdicts as
select
  verdict.study_id,
  study.name as study,
  verdict.trial,
  verdict.rung,
  verdict.attempt,
  verdict.step,
  verdict.loss,
  ledger.value(verdict.loss, study.direction, study.loss_of_zero) as value,
  verdict.cutoff,
  verdict.compared,
  verdict.arrival,
  verdict.stops,
  verdict.audited,
  verdict.decided_at,
  promotion.promoted_at
from ledger.verdict
join ledger.study on study.id = verdict.study_id
left join ledger.promotion
  on promotion.study_id = verdict.study_id and promotion.trial = verdict.trial and promotion.rung = verdict.rung;

comment on view ledger.verdicts is
  'Verdicts of early stopping: one row for each rung that a trial has reached. A trial that belongs to the audit goes on '
  'in spite of its verdicts.';
comment on column ledger.verdicts.study is 'Name of the study.';
comment on column ledger.verdicts.value is
  'Value that the objective reported at the step; null if the value was NaN or an infinity.';
comment on column ledger.verdicts.promoted_at is
  'In steady mode with the rule promotion, time at which the manager promoted the trial at the rung; null if the '
  'manager did not promote the trial.';
