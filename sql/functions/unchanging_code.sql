-- Triggers that refuse each change of a recorded version of an objective's code. The ledger deletes the versions when a
-- user deletes the study. The ledger deletes a source text when no version contains the text.
create or replace function ledger.refuse_change_of_code() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'DELETE' then
    if tg_table_name = 'code_version' then
      if not exists (select from ledger.study where id = old.study_id) then
        return old;
      end if;
    elsif not exists (
      select from ledger.code_version, jsonb_each_text(sources) as kept where kept.value = old.sha256) then
      return old;
    end if;
  end if;
  raise exception '% of ledger.% is refused: a recorded code does not change', tg_op, tg_table_name
    using errcode = 'restrict_violation', hint = 'ledger study delete removes a whole study.';
end
$$;
comment on function ledger.refuse_change_of_code is
  'Trigger: refuse to change a recorded code, and to delete the code of a study.';

create or replace trigger code_versions_do_not_change before update or delete on ledger.code_version
  for each row execute function ledger.refuse_change_of_code();
create or replace trigger code_versions_are_not_truncated before truncate on ledger.code_version
  for each statement execute function ledger.refuse_change_of_code();
create or replace trigger sources_do_not_change before update or delete on ledger.source
  for each row execute function ledger.refuse_change_of_code();
create or replace trigger sources_are_not_truncated before truncate on ledger.source
  for each statement execute function ledger.refuse_change_of_code();

alter table ledger.code_version enable always trigger code_versions_do_not_change;
alter table ledger.code_version enable always trigger code_versions_are_not_truncated;
alter table ledger.source enable always trigger sources_do_not_change;
alter table ledger.source enable always trigger sources_are_not_truncated;
