-- Cancel the trials whose cancellation is recorded in the table ledger.cancellation. The ledger records the
-- cancellation of a trial in the table ledger.cancellation if another session has locked the trial's row.
-- If the argument `study_id` is null, the function cancels trials of all studies. If the argument `trial` is not null,
-- the function cancels only the trial with this number. The function never waits for a lock of another session, and
-- skips each trial whose row is still locked. When a worker calls a function such as ledger.complete for a trial, the
-- function calls ledger.end_cancelled. Managers and the function ledger.announce also call ledger.end_cancelled
-- regularly. The answer is the number of cancellations that still wait for a lock.
create or replace function ledger.end_cancelled(study_id int default null, trial int default null) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz;
  asked record;
begin
  -- In almost all calls, the table ledger.cancellation is empty.
  if not exists (select from ledger.cancellation) then
    return 0;
  end if;
  moment := ledger.clock();
  for asked in
    select cancellation.study_id, cancellation.trial, cancellation.reason, trial.claim, trial.finished_at
    from ledger.cancellation
    join ledger.trial on trial.study_id = cancellation.study_id and trial.number = cancellation.trial
    where (end_cancelled.study_id is null or cancellation.study_id = end_cancelled.study_id)
      and (end_cancelled.trial is null or cancellation.trial = end_cancelled.trial)
    for no key update of trial skip locked
  loop
    -- If another session has locked the trial's row and has then ended the trial, the cancellation has no effect.
    if asked.finished_at is null then
      update ledger.trial
      set state = 'cancelled', finished_at = moment, error = asked.reason, lease_until = null, deadline_at = null
      where trial.study_id = asked.study_id and trial.number = asked.trial;
      update ledger.attempt
      set outcome = 'lost', ended_at = moment, error = asked.reason
      where attempt.claim = asked.claim and attempt.outcome is null;
    end if;
    delete from ledger.cancellation
    where cancellation.study_id = asked.study_id and cancellation.trial = asked.trial;
  end loop;
  return (
    select count(*)
    from ledger.cancellation
    where (end_cancelled.study_id is null or cancellation.study_id = end_cancelled.study_id)
      and (end_cancelled.trial is null or cancellation.trial = end_cancelled.trial));
end
$$;

comment on function ledger.end_cancelled is
  'End the cancelled trials whose rows another session had locked. Answers the number of trials that are still locked.';
