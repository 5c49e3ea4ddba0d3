-- The first trial has an artifact that the ledger keeps, and one that a worker began and never saved. The running trial
-- has an artifact in a store.
insert into ledger.artifact_content (id, store, sha256, size, begun_at, stored_at) values
  ('00000000-0000-4000-8000-0000000000a1', null, encode(sha256('model'), 'hex'), 5, now(), now()),
  ('00000000-0000-4000-8000-0000000000a2', null, encode(sha256('half'), 'hex'), 4, now(), null),
  ('00000000-0000-4000-8000-0000000000a3', 's3://bucket/artifacts', encode(sha256('far'), 'hex'), 3, now(), now());
insert into ledger.artifact_piece (content, number, bytes) values
  ('00000000-0000-4000-8000-0000000000a1', 0, 'model');
insert into ledger.artifact (study_id, trial, attempt, name, sha256, size, store, content, uploading, saved_at)
select attempt.study_id, attempt.trial, attempt.number, wanted.name, known.sha256, known.size, known.store, known.id,
  null, now()
from ledger.trial
join ledger.attempt on attempt.study_id = trial.study_id and attempt.trial = trial.number
join (values ('complete', 'model.bin', '00000000-0000-4000-8000-0000000000a1'::uuid),
             ('running', 'far.bin', '00000000-0000-4000-8000-0000000000a3'::uuid)) as wanted (state, name, content)
  on wanted.state = trial.state
join ledger.artifact_content as known on known.id = wanted.content
where trial.study_id = 1;
insert into ledger.artifact (study_id, trial, attempt, name, uploading)
select study_id, trial, number, 'half.bin', '00000000-0000-4000-8000-0000000000a2'
from ledger.attempt
where study_id = 1 and outcome = 'complete';
