-- Lock the row of an unfinished trial for the worker that holds its claim. Each function that a worker calls for its
-- trial first calls this function, and decides in a later statement. The reason is that this lock may have to wait for
-- another session. A statement that waits for a lock keeps the snapshot that it had before, and does not see a
-- cancellation that was recorded during the wait. The statement after the wait has a new snapshot, and sees this
-- cancellation. A manager that cancels the trial after this call finds the row locked, and records the cancellation for
-- the worker's next call.
-- If the claim is not the claim of the trial, the function locks nothing. The function also refuses a transaction whose
-- isolation level keeps the snapshot of its first statement. In such a transaction, no statement would see a
-- cancellation that was recorded later.
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
