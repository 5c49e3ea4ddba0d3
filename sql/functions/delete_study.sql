-- Remove a study with all that it has, and the file that it trains on where no other study uses it. Only the owner of the
-- tables may. Answers: deleted; managed, where a manager holds it; unknown, where no such study exists.
create or replace function ledger.delete_study(study_id int) returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
  held ledger.manager;
  file text;
begin
  select * into parent from ledger.study where id = delete_study.study_id for no key update;
  if not found then
    return 'unknown';
  end if;
  select * into held from ledger.manager where study_id = parent.id for update;
  if held.lease_until >= ledger.clock() and not ledger.session_ended(held.backend_pid, held.backend_started_at) then
    return 'managed';
  end if;
  delete from ledger.study where id = parent.id;
  file := parent.spec -> 'objective' -> 'data' ->> 'sha256';
  -- A transaction that records a study with this file holds its row (ledger.hold_dataset): wait for its end.
  perform from ledger.dataset where sha256 = file for update;
  delete from ledger.dataset
  where sha256 = file
    and not exists (select from ledger.study where spec -> 'objective' -> 'data' ->> 'sha256' = file);
  return 'deleted';
end
$$;

comment on function ledger.delete_study is
  'Remove a study with all that it has. Answers deleted, managed or unknown.';
