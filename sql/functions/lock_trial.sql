-- Lock the row of an unfinished trial for the worker that holds the trial's claim. When a worker calls a function such
-- as ledger.complete for a trial, the function first calls ledger.lock_trial. The calling function reads and changes
-- the trial in a later statement, because the call of ledger.lock_trial may have to wait for another session. If a
-- statement waits for a lock, the statement uses a snapshot from before the wait. Therefore a waiting statement does
-- not see a cancellation that another session records during the wait. The statement after the wait has a new snapshot,
-- so the statement sees a cancellation that another session has recorded during the wait. If ledger.cancel_trials finds
-- the row of the trial locked, ledger.cancel_trials only records the cancellation, and the next call of the worker
-- cancels the trial. If the argument `claim` is not the claim of the trial, the function locks nothing. The function
-- refuses a transaction with the isolation level `repeatable read` or `serializable`. At the isolation levels
-- `repeatable read` and `serializable`, all statements of a transaction use the snapshot of the first statement.
-- Therefore the later statements would not see a cancellation that another session records after the first statement.
create or replace function ledger.lock_trial(study_id int, trial int, claim uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  isolation text := current_setting('transaction_isolation');
begin
  if isolation in ('repeatable read', 'serializable') then
    raise exception 'a worker cannot call the ledger in a transaction of isolation level %', isolation
      using errcode = 'invalid_transaction_state', hint = 'Use read committed, which is the default.';
  end if;
  perform from ledger.trial
  where trial.study_id = lock_trial.study_id and trial.number = lock_trial.trial and trial.claim = lock_trial.claim
    and trial.finished_at is null
  for no key update;
end
$$;

comment on function ledger.lock_trial is
  'Lock the row of an unfinished trial for the holder of its claim, before a worker''s call decides. Refuses an '
  'isolation level that could hide a cancellation. Internal.';
