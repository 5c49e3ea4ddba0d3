-- Delete the checkpoints of the trials that have ended, and discard their contents. A trial that has not ended keeps its
-- checkpoints, so the function disturbs no worker.
--   study_id: the study. If the argument is null, the function deletes the checkpoints of all studies.
-- One call deletes at most 50 checkpoints, and at most about 256 MB of contents in the ledger itself. Because of the
-- limits on the number and the size, a call ends within the time limit of a statement. The answer is the number of
-- deleted checkpoints. A caller repeats the call until the answer is 0. The function never waits for a lock of another
-- session, and leaves locked checkpoints to the next call.
create or replace function ledger.remove_checkpoints(study_id int default null) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  known record;
  bytes bigint := 0;
  removed int := 0;
  contents uuid[];
begin
  for known in
    select kept.study_id, kept.trial, kept.attempt, kept.name, kept.content, kept.uploading,
           case when kept.store is null then coalesce(kept.size, 0) else 0 end as bytes
    from ledger.artifact as kept
    join ledger.trial on trial.study_id = kept.study_id and trial.number = kept.trial
    where (remove_checkpoints.study_id is null or kept.study_id = remove_checkpoints.study_id)
      and kept.step is not null and trial.finished_at is not null
    limit 50
    for update of kept skip locked
  loop
    exit when bytes >= 256 * 1024 * 1024;
    delete from ledger.artifact
    where artifact.study_id = known.study_id and artifact.trial = known.trial and artifact.attempt = known.attempt
      and artifact.name = known.name;
    bytes := bytes + known.bytes;
    removed := removed + 1;
    contents := contents || array[known.content, known.uploading];
  end loop;
  if contents is not null then
    perform ledger.discard_contents(contents);
  end if;
  return removed;
end
$$;

comment on function ledger.remove_checkpoints is
  'Delete checkpoints of ended trials of a study, or of all studies (null). Answers their number.';
