-- All versions of the code of each study's objective.
create or replace view ledger.code_versions as
select
  code_version.study_id,
  study.name as study,
  code_version.number,
  code_version.first_trial,
  code_version.sha256,
  code_version.parts,
  code_version.sources,
  code_version.git_commit,
  code_version.git_clean,
  code_version.versions,
  code_version.recorded_at
from ledger.code_version
join ledger.study on study.id = code_version.study_id;

comment on view ledger.code_versions is 'All versions of the code of studies'' objectives.';
comment on column ledger.code_versions.study is 'Name of the study.';
