-- End a study that meets a stopping criterion (ledger.criterion_met), for the manager that holds the study. The manager
-- calls this function before the manager proposes trials, and before the manager ends the study. If the study has a
-- timeout, the manager also calls the function at short intervals. If the study has no open trial, the first call
-- completes the study. If the study has an open trial, the first call only records the criterion. After the criterion
-- is recorded, workers claim no more trials of the study. When no trial is running, a later call completes the study.
-- If the criterion is the timeout, a later call also releases the running trials after the time ledger.timeout_grace()
-- has passed. A released trial becomes pending, and the attempt of the released trial gets the outcome `released`. A
-- pending or paused trial of a completed study keeps its state. If the study runs again, for example with a larger
-- timeout, workers claim the pending trials. Therefore a study that runs again continues in the same way as a study
-- that never stopped.
-- Answers:
--   none: the study meets no criterion, and the function wrote nothing.
--   stopping: the study meets a criterion, but is not complete yet. The manager must not propose more trials.
--   stopped: the function completed the study.
--   ended: the study had already ended.
--   lost: the manager does not hold the study.
create or replace function ledger.stop(study_id int, claim uuid) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  parent ledger.study := ledger.held_study(stop.study_id, stop.claim);
  moment timestamptz := ledger.clock();
  criterion record;
  numbers int[];
  claims uuid[];
begin
  if parent.id is null then
    return 'lost';
  end if;
  if parent.state not in ('running', 'paused') then
    return 'ended';
  end if;
  if parent.stopped_by is null then
    select * into criterion from ledger.criterion_met(parent);
    if criterion.met is null then
      return 'none';
    end if;
    update ledger.study set stopped_by = criterion.met, stopping_at = moment, reason = criterion.reason
    where id = parent.id;
    -- A call of ledger.claim that began before this transaction can still claim a trial, so only a later call of
    -- ledger.stop can complete the study.
    if exists (
      select from ledger.trial
      where trial.study_id = parent.id and trial.state in ('pending', 'running', 'paused')) then
      return 'stopping';
    end if;
  elsif parent.stopped_by = 'timeout' and ledger.lease_ended(
          parent.stopping_at + ledger.timeout_grace(), ledger.timeout_grace(), moment) then
    select array_agg(locked.number), array_agg(locked.claim) into numbers, claims
    from (
      select trial.number, trial.claim
      from ledger.trial
      where trial.study_id = parent.id and trial.state = 'running'
      for no key update skip locked) as locked;
    update ledger.trial
    set state = 'pending', claim = null, lease_until = null, deadline_at = null, available_at = moment
    where trial.study_id = parent.id and trial.number = any (numbers);
    update ledger.attempt set outcome = 'released', ended_at = moment
    where attempt.claim = any (claims) and attempt.outcome is null;
  end if;
  -- Because of the first condition on the column `state`, PostgreSQL can use the index of open trials.
  if exists (
    select from ledger.trial
    where trial.study_id = parent.id and trial.state in ('pending', 'running') and trial.state = 'running') then
    return 'stopping';
  end if;
  update ledger.study set state = 'complete', finished_at = moment where id = parent.id;
  -- The notification wakes the waiting workers, because a worker that waits only for this study must stop.
  perform ledger.notify('ledger');
  return 'stopped';
end
$$;

comment on function ledger.stop is
  'End a study that meets its target, its patience or its timeout, for the manager that holds the study. Answers none, '
  'stopping, stopped, ended or lost.';
