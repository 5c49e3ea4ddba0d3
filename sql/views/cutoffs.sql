-- The cutoffs of early stopping, for each iteration of a study in batch mode.
create or replace view ledger.cutoffs as
select
  cutoff.study_id,
  study.name as study,
  cutoff.iteration,
  cutoff.rung,
  cutoff.loss,
  ledger.value(cutoff.loss, study.direction, study.loss_of_zero) as value,
  cutoff.compared,
  cutoff.trial,
  cutoff.group_number
from ledger.cutoff
join ledger.study on study.id = cutoff.study_id;

comment on view ledger.cutoffs is
  'Cutoffs of early stopping in batch mode: one row for each rung of an iteration, or of a group of an iteration.';
comment on column ledger.cutoffs.study is 'Name of the study.';
comment on column ledger.cutoffs.value is
  'Value that belongs to the loss; null if the rung stops no trial with a value.';
