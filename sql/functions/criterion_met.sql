-- Find the stopping criterion (target, patience or timeout) that a study meets. When a study meets a criterion, the
-- study ends, even if the study has not used its whole budget. The function only reads.
--   met: the criterion, or null if the study meets no criterion.
--   reason: the reason for users.
-- The criteria:
--   target: a complete trial has a value that is at least as good as the target.
--   patience: at least `patience` trials have ended or paused without a better value. The criterion counts only the
--     trials that the optimizer proposed after the optimizer had received the best value. In batch mode, the optimizer
--     knows the results of all earlier iterations. In steady mode, the optimizer knows the result of each trial in the
--     column `seen`, unless the column `seen_rungs` contains a rung for the trial. Such a trial had only paused. The
--     criterion does not count cancelled and imported trials.
--   timeout: managers have held the study for `timeout_seconds` in total. The criterion ignores the time without a
--     manager.
-- The criteria `target` and `patience` depend only on recorded results. In batch mode, the function checks `target` and
-- `patience` only if the optimizer has received the results of every iteration. Therefore a study of batch mode ends
-- after the same trials for any number of workers.
create or replace function ledger.criterion_met(parent ledger.study, out met text, out reason text)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  is_steady boolean := coalesce(parent.spec ->> 'mode', 'batch') = 'steady';
  best ledger.trial;
  best_value double precision;
  informed int;
  ended bigint;
begin
  if (parent.target is not null or parent.patience is not null)
     and (is_steady or not exists (
       select from ledger.iteration where iteration.study_id = parent.id and iteration.told is null)) then
    select * into best
    from ledger.trial
    where trial.study_id = parent.id and trial.state = 'complete'
    order by trial.loss, trial.number
    limit 1;
    best_value := ledger.value(
      best.loss, parent.direction, parent.loss_of_zero, ledger.number(best.metrics -> parent.metric));
    if parent.direction = 'maximize' and best_value >= parent.target
       or parent.direction <> 'maximize' and best_value <= parent.target then
      met := 'target';
      reason := format('target %s: trial %s has the value %s', parent.target, best.number, best_value);
      return;
    end if;
    if parent.patience is not null and best.number is not null then
      -- `informed` is the first iteration that the optimizer proposed after the optimizer had received the best value.
      -- `ended` is the number of ended trials in the iteration `informed` and in all later iterations.
      informed := case when is_steady then (
        select min(iteration.number) from ledger.iteration
        where iteration.study_id = parent.id and iteration.number > best.iteration
          and best.number = any (iteration.seen)
          and exists (
            select from unnest(iteration.seen, iteration.seen_rungs) as known (trial, rung)
            where known.trial = best.number and known.rung is null)) else best.iteration + 1 end;
      -- A trial of a later iteration has a higher number than each trial of an earlier iteration. The query compares
      -- trial numbers instead of iterations, so that PostgreSQL can use the primary key.
      select count(*) into ended
      from ledger.trial
      where trial.study_id = parent.id and trial.source <> 'imported'
        and trial.state in ('complete', 'pruned', 'failed', 'paused')
        and trial.number >= (
          select iteration.first_trial from ledger.iteration
          where iteration.study_id = parent.id and iteration.number = informed);
      if ended >= parent.patience then
        met := 'patience';
        reason := format('patience %s: %s trials after trial %s have no better value than %s', parent.patience, ended,
                         best.number, best_value);
        return;
      end if;
    end if;
  end if;
  if parent.managed_seconds + coalesce((
       select ledger.manager_seconds(manager) from ledger.manager where manager.study_id = parent.id), 0)
     >= parent.timeout_seconds then
    met := 'timeout';
    reason := format('timeout: managers have held the study for %s seconds', parent.timeout_seconds);
  end if;
end
$$;

comment on function ledger.criterion_met is
  'The stopping criterion (target, patience or timeout) that a study meets, and the reason for users. Null: none. '
  'Internal.';
