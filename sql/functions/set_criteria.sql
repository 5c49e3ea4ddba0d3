-- Set the stopping criteria of a study. Each argument sets the criterion with the same name. If an argument is null,
-- the study does not use this criterion. After a criterion has ended the study, the study runs again if the study meets
-- none of the new criteria. If the ended study meets one of the new criteria, the function records this criterion, and
-- the study does not run again. Answers:
--   changed: the function recorded the criteria.
--   unchanged: the study already has the given criteria.
--   cancelled: the study is cancelled, so its criteria do not change.
--   unknown: no such study exists.
create or replace function ledger.set_criteria(
  study_id int, target double precision, patience int, timeout_seconds double precision)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
  criterion record;
begin
  select * into parent from ledger.study where id = set_criteria.study_id for no key update;
  if not found then
    return 'unknown';
  end if;
  if (parent.target, parent.patience, parent.timeout_seconds)
     is not distinct from (set_criteria.target, set_criteria.patience, set_criteria.timeout_seconds) then
    return 'unchanged';
  end if;
  if parent.state = 'cancelled' then
    return 'cancelled';
  end if;
  update ledger.study
  set target = set_criteria.target, patience = set_criteria.patience, timeout_seconds = set_criteria.timeout_seconds
  where id = parent.id
  returning * into parent;
  if parent.stopped_by is null then
    return 'changed';
  end if;
  select * into criterion from ledger.criterion_met(parent);
  if criterion.met is null then
    update ledger.study
    set state = case state when 'complete' then 'running' else state end, reason = null, finished_at = null,
        stopped_by = null, stopping_at = null
    where id = parent.id;
    perform ledger.notify('ledger');
  else
    update ledger.study set stopped_by = criterion.met, reason = criterion.reason where id = parent.id;
  end if;
  return 'changed';
end
$$;

comment on function ledger.set_criteria is
  'Set the target, the patience and the timeout of a study. A study that a criterion had ended runs again, unless it '
  'meets a criterion. Answers changed, unchanged, cancelled or unknown.';
