-- End a running or paused study, and cancel its open trials. A cancelled study cannot run again. Trials whose rows
-- another session has locked end later, as in ledger.cancel_trials.
create or replace function ledger.cancel(study_id int, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  -- After this update, no worker can claim a trial of the study. The call below also cancels the trials of a claim that
  -- is in progress.
  update ledger.study set state = 'cancelled', reason = cancel.reason, finished_at = ledger.clock()
  where id = cancel.study_id and state in ('running', 'paused');
  if found then
    perform ledger.cancel_trials(cancel.study_id, null, cancel.reason);
  end if;
end
$$;

comment on function ledger.cancel is
  'End a running or paused study, with its trials that have not ended. It cannot go on.';
