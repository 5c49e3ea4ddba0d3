-- Raise the budget of a study. The budget is the number of trials that the optimizer may propose. If the study was
-- complete, the study runs again. Answers:
--   extended: the function raised the budget.
--   unchanged: the study already has the given budget or a larger budget.
--   cancelled: the study is cancelled, so its budget does not change.
--   unknown: no such study exists.
create or replace function ledger.extend(study_id int, budget int) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
begin
  select * into parent from ledger.study where id = extend.study_id for no key update;
  if not found then
    return 'unknown';
  end if;
  if parent.state = 'cancelled' then
    return 'cancelled';
  end if;
  if parent.budget >= extend.budget then
    return 'unchanged';
  end if;
  update ledger.study set budget = extend.budget where id = parent.id;
  update ledger.study
  set state = 'running', reason = null, finished_at = null, stopped_by = null, stopping_at = null
  where id = parent.id and state = 'complete';
  return 'extended';
end
$$;

comment on function ledger.extend is
  'Raise the budget of a study. A complete study runs again. Answers extended, unchanged, cancelled or unknown.';
