-- Change the batch size of a study. The manager uses the new batch size for the next proposal. A user does not have to
-- restart a running manager. The batch size of an earlier iteration does not change. Answers:
--   changed: the function recorded the batch size.
--   unchanged: the study already has this batch size.
--   cancelled: the study is cancelled, so its batch size does not change.
--   unknown: no such study exists.
create or replace function ledger.set_batch_size(study_id int, batch_size int) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
begin
  select * into parent from ledger.study where id = set_batch_size.study_id for no key update;
  if not found then
    return 'unknown';
  end if;
  if parent.batch_size = set_batch_size.batch_size then
    return 'unchanged';
  end if;
  if parent.state = 'cancelled' then
    return 'cancelled';
  end if;
  update ledger.study set changed_batch_size = set_batch_size.batch_size where id = parent.id;
  return 'changed';
end
$$;

comment on function ledger.set_batch_size is
  'Change the batch size of a study from the next proposal on. Answers changed, unchanged, cancelled or unknown.';
