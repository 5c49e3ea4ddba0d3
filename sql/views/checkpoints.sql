-- The saved checkpoints of all trials. After the end of a trial, a manager deletes the trial's checkpoints.
create or replace view ledger.checkpoints as
select
  artifact.study_id,
  study.name as study,
  artifact.trial,
  artifact.attempt,
  artifact.step,
  artifact.size,
  artifact.sha256,
  artifact.store,
  artifact.content,
  artifact.saved_at
from ledger.artifact
join ledger.study on study.id = artifact.study_id
where artifact.step is not null and artifact.content is not null;

comment on view ledger.checkpoints is
  'The last checkpoints of each trial that has not ended, without their contents.';
comment on column ledger.checkpoints.study is 'Name of the study.';
