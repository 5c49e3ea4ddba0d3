-- The tags, the notes and the user attributes of all annotated studies and trials.
create or replace view ledger.annotations as
select
  annotation.study_id,
  study.name as study,
  null::int as trial,
  annotation.tags,
  annotation.note,
  annotation.attributes,
  annotation.annotated_by,
  annotation.annotated_at
from ledger.study_annotation as annotation
join ledger.study on study.id = annotation.study_id
union all
select
  annotation.study_id,
  study.name,
  annotation.trial,
  annotation.tags,
  annotation.note,
  annotation.attributes,
  annotation.annotated_by,
  annotation.annotated_at
from ledger.trial_annotation as annotation
join ledger.study on study.id = annotation.study_id;

comment on view ledger.annotations is
  'Tags, notes and user attributes: one row for each annotated study, and one row for each annotated trial.';
comment on column ledger.annotations.study_id is 'The study.';
comment on column ledger.annotations.study is 'Name of the study.';
comment on column ledger.annotations.trial is
  'Number of the annotated trial; null if the row is the annotation of the study.';
comment on column ledger.annotations.tags is 'Tags in alphabetical order.';
comment on column ledger.annotations.note is 'Note; null without a note.';
comment on column ledger.annotations.attributes is 'User attributes, as an object.';
comment on column ledger.annotations.annotated_by is 'Login that changed the annotation last.';
comment on column ledger.annotations.annotated_at is 'Time of the last change of the annotation.';
