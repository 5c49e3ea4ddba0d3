-- All saved artifacts, including removed artifacts. The view does not show the contents. Checkpoints are in
-- ledger.checkpoints.
create or replace view ledger.artifacts as
select
  artifact.study_id,
  study.name as study,
  artifact.trial,
  artifact.attempt,
  artifact.name,
  artifact.size,
  artifact.sha256,
  artifact.store,
  artifact.content,
  artifact.saved_at,
  artifact.removed_at
from ledger.artifact
join ledger.study on study.id = artifact.study_id
where artifact.saved_at is not null and artifact.step is null;

comment on view ledger.artifacts is
  'All artifacts that were saved, also removed artifacts, without their contents. Without checkpoints.';
comment on column ledger.artifacts.study is 'Name of the study.';
