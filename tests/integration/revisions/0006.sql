-- The running trial has two checkpoints.
insert into ledger.artifact_content (id, store, sha256, size, begun_at, stored_at) values
  ('00000000-0000-4000-8000-0000000000a4', 's3://bucket/artifacts', encode(sha256('one'), 'hex'), 3, now(), now()),
  ('00000000-0000-4000-8000-0000000000a5', 's3://bucket/artifacts', encode(sha256('two'), 'hex'), 3, now(), now());
insert into ledger.artifact (study_id, trial, attempt, name, sha256, size, store, content, saved_at)
select attempt.study_id, attempt.trial, attempt.number, wanted.name, known.sha256, known.size, known.store, known.id, now()
from ledger.trial
join ledger.attempt on attempt.study_id = trial.study_id and attempt.trial = trial.number
join (values ('.checkpoint-4', '00000000-0000-4000-8000-0000000000a4'::uuid),
             ('.checkpoint-9', '00000000-0000-4000-8000-0000000000a5'::uuid)) as wanted (name, content) on true
join ledger.artifact_content as known on known.id = wanted.content
where trial.study_id = 1 and trial.state = 'running';
