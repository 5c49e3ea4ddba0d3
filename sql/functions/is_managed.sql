-- Return whether a manager holds the study. The caller of the function has locked the row of the study, so no manager
-- can take the study before the end of the caller's transaction.
create or replace function ledger.is_managed(study_id int) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  held ledger.manager;
begin
  select * into held from ledger.manager where study_id = is_managed.study_id for update;
  return found
     and not ledger.lease_ended(held.lease_until, held.lease, ledger.clock())
     and not ledger.session_ended(held.backend_pid, held.backend_started_at);
end
$$;

comment on function ledger.is_managed is
  'Whether a manager holds the study, whose row the caller has locked. Internal.';
