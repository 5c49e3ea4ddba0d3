-- Triggers that refuse each change of a cutoff, a verdict or a promotion, and a trigger that deletes the cutoffs,
-- verdicts and promotions of a deleted study.
create or replace function ledger.refuse_change_of_verdict() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'DELETE' and not exists (select from ledger.study where id = old.study_id) then
    return old;
  end if;
  raise exception '% of ledger.% is refused: what was decided does not change', tg_op, tg_table_name
    using errcode = 'restrict_violation', hint = 'ledger study delete removes a whole study.';
end
$$;
comment on function ledger.refuse_change_of_verdict is
  'Trigger: refuse to change or delete a cutoff, a verdict or a promotion, unless the whole study is deleted.';

create or replace function ledger.delete_verdicts() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  delete from ledger.promotion where study_id = old.id;
  delete from ledger.verdict where study_id = old.id;
  delete from ledger.cutoff where study_id = old.id;
  return old;
end
$$;
comment on function ledger.delete_verdicts is
  'Trigger: delete the cutoffs, the verdicts and the promotions of a deleted study.';

create or replace trigger verdicts_do_not_change before update or delete on ledger.verdict
  for each row execute function ledger.refuse_change_of_verdict();
create or replace trigger verdicts_are_not_truncated before truncate on ledger.verdict
  for each statement execute function ledger.refuse_change_of_verdict();
create or replace trigger promotions_do_not_change before update or delete on ledger.promotion
  for each row execute function ledger.refuse_change_of_verdict();
create or replace trigger promotions_are_not_truncated before truncate on ledger.promotion
  for each statement execute function ledger.refuse_change_of_verdict();
create or replace trigger cutoffs_do_not_change before update or delete on ledger.cutoff
  for each row execute function ledger.refuse_change_of_verdict();
create or replace trigger cutoffs_are_not_truncated before truncate on ledger.cutoff
  for each statement execute function ledger.refuse_change_of_verdict();
create or replace trigger verdicts_go_with_their_study after delete on ledger.study
  for each row execute function ledger.delete_verdicts();

alter table ledger.verdict enable always trigger verdicts_do_not_change;
alter table ledger.verdict enable always trigger verdicts_are_not_truncated;
alter table ledger.promotion enable always trigger promotions_do_not_change;
alter table ledger.promotion enable always trigger promotions_are_not_truncated;
alter table ledger.cutoff enable always trigger cutoffs_do_not_change;
alter table ledger.cutoff enable always trigger cutoffs_are_not_truncated;
alter table ledger.study enable always trigger verdicts_go_with_their_study;
