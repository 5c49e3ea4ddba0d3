-- Triggers that refuse each change of a report, and one trigger that deletes the reports of a deleted study.
create or replace function ledger.refuse_change_of_report() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'DELETE' and not exists (select from ledger.study where id = old.study_id) then
    return old;
  end if;
  raise exception '% of ledger.% is refused: what was reported does not change', tg_op, tg_table_name
    using errcode = 'restrict_violation', hint = 'ledger study delete removes a whole study.';
end
$$;
comment on function ledger.refuse_change_of_report is
  'Trigger: refuse to change or delete a report, unless the whole study is deleted.';

create or replace function ledger.delete_reports() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  delete from ledger.report where study_id = old.id;
  return old;
end
$$;
comment on function ledger.delete_reports is
  'Trigger: delete the reports of a deleted study.';

create or replace trigger reports_do_not_change before update or delete on ledger.report
  for each row execute function ledger.refuse_change_of_report();
create or replace trigger reports_are_not_truncated before truncate on ledger.report
  for each statement execute function ledger.refuse_change_of_report();
create or replace trigger reports_go_with_their_study after delete on ledger.study
  for each row execute function ledger.delete_reports();

alter table ledger.report enable always trigger reports_do_not_change;
alter table ledger.report enable always trigger reports_are_not_truncated;
alter table ledger.study enable always trigger reports_go_with_their_study;
