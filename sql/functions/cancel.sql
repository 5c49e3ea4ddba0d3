-- End a running or paused study, with its trials that have not ended. A cancelled study cannot go on.
create or replace function ledger.cancel(study_id int, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  -- No claim is handed out after this; a claim that is taken at this moment is waited for below.
  update ledger.study set state = 'cancelled', reason = cancel.reason, finished_at = ledger.clock()
  where id = cancel.study_id and state in ('running', 'paused');
  if found then
    perform ledger.cancel_trials(cancel.study_id, null, cancel.reason);
  end if;
end
$$;

comment on function ledger.cancel is
  'End a running or paused study, with its trials that have not ended. It cannot go on.';
