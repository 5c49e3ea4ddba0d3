-- Triggers that refuse each change of an artifact after the end of its attempt. While the claim of the attempt is
-- valid, the worker can save the artifact again. Later, the artifact cannot change any more, but a user can remove the
-- artifact. The ledger deletes a checkpoint that the trial does not need any more. A content and its pieces never
-- change.
create or replace function ledger.refuse_change_of_artifact() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  is_held boolean;
begin
  if tg_op = 'DELETE' then
    if old.saved_at is null or old.step is not null or not exists (select from ledger.study where id = old.study_id) then
      return old;
    end if;
  elsif tg_op = 'UPDATE' and (new.study_id, new.trial, new.attempt, new.name)
                           = (old.study_id, old.trial, old.attempt, old.name) then
    is_held := exists (
      select from ledger.trial
      join ledger.attempt on attempt.claim = trial.claim
      where trial.study_id = old.study_id and trial.number = old.trial and trial.finished_at is null
        and attempt.number = old.attempt);
    if is_held or new.sha256 is not distinct from old.sha256 and new.size is not distinct from old.size
         and new.store is not distinct from old.store and new.saved_at is not distinct from old.saved_at
         and (new.uploading is null or new.uploading is not distinct from old.uploading)
         and (new.removed_at is not distinct from old.removed_at and new.content is not distinct from old.content
              or old.removed_at is null and new.content is null) then
      return new;
    end if;
  end if;
  raise exception '% of ledger.% is refused: an artifact does not change after its attempt', tg_op, tg_table_name
    using errcode = 'restrict_violation', hint = 'ledger artifact rm removes an artifact.';
end
$$;

comment on function ledger.refuse_change_of_artifact is
  'Trigger: refuse to change an artifact after its attempt, unless a user removes the artifact.';

create or replace function ledger.refuse_change_of_content() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and tg_table_name = 'artifact_content' then
    if (new.id, new.sha256, new.size, new.begun_at) = (old.id, old.sha256, old.size, old.begun_at)
       and new.store is not distinct from old.store
       and (old.stored_at is null or new.stored_at is not distinct from old.stored_at)
       and (old.discarded_at is null or new.discarded_at is not distinct from old.discarded_at) then
      return new;
    end if;
  elsif tg_op = 'DELETE' and tg_table_name = 'artifact_piece' then
    if not exists (select from ledger.artifact_content where id = old.content) then
      return old;
    end if;
  end if;
  raise exception '% of ledger.% is refused: the content of an artifact does not change', tg_op, tg_table_name
    using errcode = 'restrict_violation', hint = 'ledger artifact rm removes an artifact.';
end
$$;

comment on function ledger.refuse_change_of_content is
  'Trigger: refuse to change a content of artifacts or a piece of it, and to delete a piece without its content.';

create or replace trigger artifacts_do_not_change before update or delete on ledger.artifact
  for each row execute function ledger.refuse_change_of_artifact();
create or replace trigger artifacts_are_not_truncated before truncate on ledger.artifact
  for each statement execute function ledger.refuse_change_of_artifact();
create or replace trigger contents_do_not_change before update on ledger.artifact_content
  for each row execute function ledger.refuse_change_of_content();
create or replace trigger contents_are_not_truncated before truncate on ledger.artifact_content
  for each statement execute function ledger.refuse_change_of_content();
create or replace trigger pieces_do_not_change before update or delete on ledger.artifact_piece
  for each row execute function ledger.refuse_change_of_content();
create or replace trigger pieces_are_not_truncated before truncate on ledger.artifact_piece
  for each statement execute function ledger.refuse_change_of_content();

alter table ledger.artifact enable always trigger artifacts_do_not_change;
alter table ledger.artifact enable always trigger artifacts_are_not_truncated;
alter table ledger.artifact_content enable always trigger contents_do_not_change;
alter table ledger.artifact_content enable always trigger contents_are_not_truncated;
alter table ledger.artifact_piece enable always trigger pieces_do_not_change;
alter table ledger.artifact_piece enable always trigger pieces_are_not_truncated;
