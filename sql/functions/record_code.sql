-- Record a new version of the code of a study's objective. The new version is valid for all trials that workers claim
-- from now on. Answers:
--   recorded: the function recorded the version.
--   changed: the version that is valid now is not the version `known`, so the function recorded nothing.
--   locked: another session is recording the same version. The caller can repeat the call later.
--   unknown: no such study exists.
--   known: the number of the version that was valid when the caller read the versions. The number is null if the caller
--     has found no version.
--   code: the code, as an object with the keys `sha256`, `parts`, `sources`, `git_commit`, `git_clean` and `versions`.
--   texts: the source texts of the code.
create or replace function ledger.record_code(study_id int, known int, code jsonb, texts text[]) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  first_trial int := 0;
begin
  perform from ledger.study where id = record_code.study_id for no key update;
  if not found then
    return 'unknown';
  end if;
  if ledger.current_code(record_code.study_id) is distinct from record_code.known then
    return 'changed';
  end if;
  if record_code.known is not null then
    first_trial := coalesce(
      (select min(trial.number) from ledger.trial
       where trial.study_id = record_code.study_id and trial.state in ('pending', 'running', 'paused')),
      ledger.next_trial(record_code.study_id));
  end if;
  begin
    if not ledger.add_code(record_code.study_id, coalesce(record_code.known + 1, 0), first_trial, record_code.code,
                           record_code.texts) then
      return 'changed';
    end if;
  exception when lock_not_available then
    return 'locked';
  end;
  return 'recorded';
end
$$;

comment on function ledger.record_code is
  'Record a new version of the code of a study''s objective, for the trials that workers claim from now on. Answers '
  'recorded, changed, locked or unknown.';
