-- Record the verdict of a study's rule at each rung that an attempt has reached, and return what the attempt must do:
-- `continue`, `stop`, `wait` or `release`. The caller has locked the trial. At each rung, the rule uses the report with
-- the highest step at or below the rung. The rule ignores all reports that came after the trial had reached the rung
-- (ledger.last_report). An attempt that continues after a checkpoint reports again at most the last step before the
-- checkpoint (ledger.last_checkpoints). If the attempt has no report at or below the rung, the rule uses a report of an
-- earlier attempt. If the trial had reported no step at or below the rung before, the function records no verdict at
-- this rung. A verdict is final, so a later attempt of the trial gets the recorded verdicts. When a rung has stopped a
-- trial, the function records no verdicts at higher rungs.
-- With the rule `promotion` in batch mode, only ledger.promote and ledger.tell record verdicts. In batch mode, if a
-- rung has no verdict yet, the attempt must stop at this rung, so that the trial can pause (ledger.prune). In steady
-- mode, a promoted trial goes on in spite of its verdict. The table ledger.promotion records each promotion. In both
-- modes, an audited trial goes on in spite of its verdicts.
-- With the rule `halving` and groups, the answer is `wait` if the cutoff of the trial's group is not known yet
-- (ledger.set_group_cutoffs). All workers could be waiting for a pending trial of an earlier group. Therefore the
-- answer is `release` if a worker can claim such a trial, and if no later trial of the iteration is running. The pending
-- trial may have a verdict at the rung: another trial may be waiting for this trial at a higher rung.
create or replace function ledger.decide(study_id int, trial int, attempt int, moment timestamptz) returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
  reached bigint;
  place int;
  own_group int;
  first_of_group int;
  each bigint;
  given ledger.cutoff;
  own ledger.verdict;
begin
  select * into parent from ledger.study where id = decide.study_id and spec ? 'stopping';
  if not found then
    return 'continue';
  end if;
  select iteration into place from ledger.trial where trial.study_id = parent.id and trial.number = decide.trial;
  if parent.spec -> 'stopping' ? 'group_size' then
    select found.number, found.first into own_group, first_of_group
    from ledger.trial_group(
      parent.id, place, decide.trial, (parent.spec -> 'stopping' ->> 'group_size')::int) as found;
  end if;
  select max(step) into reached from ledger.report
  where report.study_id = parent.id and report.trial = decide.trial and report.attempt = decide.attempt;
  foreach each in array ledger.rungs(parent.spec -> 'stopping', place) loop
    exit when each > coalesce(reached, -1);
    select * into own from ledger.verdict
    where verdict.study_id = parent.id and verdict.trial = decide.trial and verdict.rung = each;
    if not found then
      own.study_id := parent.id;
      own.trial := decide.trial;
      own.rung := each;
      own.decided_at := moment;
      select last.attempt, last.step, last.loss into own.attempt, own.step, own.loss
      from ledger.last_report(parent.id, decide.trial, each) as last;
      continue when own.step is null;
      own.audited := ledger.is_audited(
        parent.seed, decide.trial, (parent.spec -> 'stopping' ->> 'audit')::float8);
      if parent.spec ->> 'mode' = 'steady' then
        own := ledger.arrive(parent.spec -> 'stopping', own);
        -- Another transaction is still recording a verdict at this rung. A later call of ledger.report returns the
        -- verdict.
        exit when own.stops is null;
      elsif parent.spec -> 'stopping' ->> 'rule' = 'promotion' then
        own.stops := true;
      else
        select * into given from ledger.cutoff
        where cutoff.study_id = parent.id and cutoff.iteration = place and cutoff.rung = each
          and cutoff.group_number = coalesce(own_group, 0);
        if not found and own_group > 0 then
          perform ledger.set_group_cutoffs(parent, place, each, own_group, moment);
          select * into given from ledger.cutoff
          where cutoff.study_id = parent.id and cutoff.iteration = place and cutoff.rung = each
            and cutoff.group_number = own_group;
          if not found then
            -- A later call of ledger.report records the verdict.
            exit when own.audited;
            return case when exists (
              select from ledger.trial
              where trial.study_id = parent.id and trial.iteration = place and trial.state = 'pending'
                and trial.number < first_of_group and ledger.is_claimable(trial, moment))
              and not exists (
                select from ledger.trial
                where trial.study_id = parent.id and trial.iteration = place and trial.state in ('pending', 'running')
                  and trial.state = 'running' and trial.number > decide.trial)
              then 'release' else 'wait' end;
          end if;
        end if;
        own.cutoff := given.loss;
        own.compared := coalesce(given.compared, 0);
        own.stops := ledger.is_stopped(
          (parent.spec -> 'stopping' ->> 'eta')::int, own.compared, own.loss, own.cutoff);
        insert into ledger.verdict values (own.*);
      end if;
    end if;
    if own.stops and not own.audited and not exists (
      select from ledger.promotion
      where promotion.study_id = parent.id and promotion.trial = decide.trial and promotion.rung = each) then
      return 'stop';
    end if;
  end loop;
  return 'continue';
end
$$;

comment on function ledger.decide is
  'Record the verdicts at the rungs that an attempt has reached. Answers continue, stop, wait or release. Internal.';
