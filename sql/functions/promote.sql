-- Record the verdicts at the rungs of the rule `promotion` in batch mode, for the manager that holds the study. A trial
-- pauses at a rung (ledger.prune). While the iteration has a pending or running trial that is not audited, the function
-- does nothing. Otherwise, the function compares the trials at the lowest rung that has no verdicts. A paused trial
-- that is among the best 1/eta of the compared trials (ledger.promotion_cutoff) becomes pending again. The other paused
-- trials are pruned.
-- The compared trials are the trials of the iteration that have reached the rung. If these trials are fewer than the
-- batch size in the study's spec, the function also compares the latest trials of earlier iterations with a verdict at
-- the rung, until the number of compared trials is the batch size. Otherwise, few trials of an iteration would reach a
-- higher rung, and this rung would stop no trial. The function also compares trials that failed, ended or were
-- cancelled after they had reached the rung. Therefore the verdicts do not depend on the number or the speed of the
-- workers. An audited trial never pauses. The function does not wait for audited trials, and does not compare audited
-- trials. ledger.tell records the verdicts on audited trials. The Python function ledger.study.verdicts.compared_trials
-- chooses the same trials.
-- If a trial joins the iteration after the ledger has recorded the cutoff at a rung, the trial gets its verdict from
-- the recorded cutoff.
-- A paused trial can have reached several rungs, because an objective does not have to ask for the verdict at each
-- rung. At a higher rung, the paused trial waits for the trials that the function promotes at the lower rung. Therefore
-- the function compares the trials at the next rung only if no trial of the iteration is pending.
-- The answer has a row for each rung at which the function has recorded verdicts:
--   rung: the step of the rung.
--   judged, promoted: the number of trials that got a verdict, and the number of these trials that go on.
-- The answer has no rows if the function changed nothing. The possible reasons are: the manager does not hold the
-- study, a trial that is not audited is pending or running, no trial is paused, or another session has locked a paused
-- trial. The manager then calls the function again later.
create or replace function ledger.promote(study_id int, claim uuid, iteration int)
returns table (rung bigint, judged int, promoted int)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  parent ledger.study := ledger.held_study(promote.study_id, promote.claim);
  stopping jsonb := parent.spec -> 'stopping';
  rungs bigint[];
  place int;
  waiting int[];
  going int[];
  arrived record;
  earlier record;
begin
  if parent.id is null or stopping ->> 'rule' is distinct from 'promotion' or parent.spec ->> 'mode' = 'steady' then
    return;
  end if;
  -- A user may have cancelled a paused trial in a transaction that has not ended. If the function compared only the
  -- other trials, the verdicts would depend on the moment of the call. Therefore the function changes nothing.
  waiting := array(
    select trial.number
    from ledger.trial
    where trial.study_id = parent.id and trial.iteration = promote.iteration and trial.state = 'paused'
    for no key update skip locked);
  if exists (
    select from ledger.trial
    where trial.study_id = parent.id and trial.iteration = promote.iteration and trial.state = 'paused'
      and trial.number <> all (waiting)) then
    return;
  end if;
  rungs := ledger.rungs(stopping, promote.iteration);
  for place in 1 .. cardinality(rungs) loop
    rung := rungs[place];
    exit when waiting = '{}' or exists (
      select from ledger.trial
      where trial.study_id = parent.id and trial.iteration = promote.iteration
        and trial.state in ('pending', 'running')
        and not ledger.is_audited(parent.seed, trial.number, (stopping ->> 'audit')::float8));
    if not exists (
      select from ledger.cutoff
      where cutoff.study_id = parent.id and cutoff.iteration = promote.iteration and cutoff.rung = rungs[place]) then
      select
        array_agg(undecided.loss order by undecided.trial) as losses,
        array_agg(undecided.trial order by undecided.trial) as trials,
        coalesce(bool_or(undecided.state = 'paused'), false) as is_waiting
      into arrived
      from ledger.undecided(parent.id, promote.iteration, rung) as undecided
      where not undecided.audited;
      -- The paused trials can wait at a higher rung, because a trial without a report at or below a rung skips the rung.
      continue when not arrived.is_waiting;
      select array_agg(latest.loss) as losses, array_agg(latest.trial) as trials
      into earlier
      from (
        select verdict.loss, verdict.trial
        from ledger.verdict
        where verdict.study_id = parent.id and verdict.rung = rungs[place] and not verdict.audited
          and verdict.trial < (
            select own.first_trial from ledger.iteration as own
            where own.study_id = parent.id and own.number = promote.iteration)
        order by verdict.trial desc
        limit greatest(0, (parent.spec ->> 'batch_size')::int - cardinality(arrived.trials))) as latest;
      insert into ledger.cutoff (study_id, iteration, rung, loss, trial, compared)
      select parent.id, promote.iteration, rung, best.loss, best.trial, cardinality(arrived.trials || earlier.trials)
      from ledger.promotion_cutoff(
        (stopping ->> 'eta')::int, arrived.losses || earlier.losses, arrived.trials || earlier.trials) as best;
    end if;
    select given.judged, given.promoted into judged, promoted
    from ledger.judge(parent.id, promote.iteration, rung, false, moment) as given;
    if judged > 0 then
      return next;
    end if;
    update ledger.trial
    set state = 'pruned', pruned_step = verdict.step, pruned_loss = verdict.loss, error = null, finished_at = moment
    from ledger.verdict
    where trial.study_id = parent.id and trial.number = any (waiting) and trial.state = 'paused'
      and verdict.study_id = parent.id and verdict.trial = trial.number and verdict.rung = rungs[place]
      and verdict.stops;
    going := array(
      select trial.number from ledger.trial
      where trial.study_id = parent.id and trial.number = any (waiting) and trial.state = 'paused'
      except
      select left_over.trial
      from unnest(rungs) as later (step)
      cross join lateral ledger.undecided(parent.id, promote.iteration, later.step) as left_over);
    update ledger.trial
    set state = 'pending', available_at = moment
    where trial.study_id = parent.id and trial.number = any (going);
    waiting := array(
      select trial.number from ledger.trial
      where trial.study_id = parent.id and trial.number = any (waiting) and trial.state = 'paused');
    if going <> '{}' then
      perform ledger.notify('ledger');
    end if;
  end loop;
end
$$;

comment on function ledger.promote is
  'Decide which paused trials of an iteration go on, for the manager that holds the study. Answers a row for each rung at '
  'which the rule decided.';
