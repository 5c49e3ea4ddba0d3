-- Both studies and a trial that has ended are annotated, and the ended study is archived.
update ledger.study set archived_at = now() where name = 'ended';
insert into ledger.study_annotation (study_id, tags, note, attributes, annotated_by, annotated_at) values
  (1, '{paper}', 'a note', '{"ticket": 117}', 'postgres', now()),
  (2, '{}', 'another note', '{}', 'postgres', now());
insert into ledger.trial_annotation (study_id, trial, tags, note, attributes, annotated_by, annotated_at) values
  (1, 0, '{odd}', null, '{}', 'postgres', now());
