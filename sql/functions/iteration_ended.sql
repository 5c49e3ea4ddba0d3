-- Notify the manager when the last pending or running trial of an iteration has ended or paused. Because of the
-- notification, the manager does not wait for its next poll. The manager also polls, because a notification can be
-- lost. If two transactions end the last two trials of an iteration at the same moment, neither transaction sees the
-- change of the other transaction. Therefore neither transaction sends a notification. In steady mode, the function
-- sends no notifications, because every trial would cause a notification at its end.
create or replace function ledger.iteration_ended() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
begin
  if not exists (
       select from ledger.trial
       where trial.study_id = new.study_id and trial.iteration = new.iteration and trial.state in ('pending', 'running'))
     and exists (
       select from ledger.iteration
       where iteration.study_id = new.study_id and iteration.number = new.iteration and iteration.seen is null) then
    perform ledger.notify('ledger_ended', new.study_id::text);
  end if;
  return null;
end
$$;

comment on function ledger.iteration_ended is
  'Trigger: notify the manager when the last pending or running trial of an iteration has ended or paused.';

-- A check constraint of the table permits a lease only to a running trial. The condition reads only this column, because
-- PostgreSQL prepares the condition again in each statement, and a condition with the states takes much longer.
create or replace trigger iterations_end_aloud after update on ledger.trial
  for each row when (new.lease_until is null) execute function ledger.iteration_ended();
