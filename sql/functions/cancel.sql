-- Cancel a running or paused study, and cancel the study's open trials. A cancelled study cannot run again. If another
-- session has locked a trial's row, ledger.cancel skips the trial, and a later call of ledger.end_cancelled cancels the
-- trial.
create or replace function ledger.cancel(study_id int, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  -- After the following update, no worker can claim a trial of the study. If a concurrent call of ledger.claim still
  -- claims trials, the call of ledger.cancel_trials below also cancels the claimed trials.
  update ledger.study set state = 'cancelled', reason = cancel.reason, finished_at = ledger.clock()
  where id = cancel.study_id and state in ('running', 'paused');
  if found then
    perform ledger.cancel_trials(cancel.study_id, null, cancel.reason);
  end if;
end
$$;

comment on function ledger.cancel is
  'Cancel a running or paused study, and its trials that have not ended. A cancelled study cannot continue.';
