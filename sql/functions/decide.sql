-- Record the verdict of a study's rule at each rung that an attempt has reached, and return whether the attempt must
-- stop. The caller has locked the trial. At each rung, the rule uses the report with the highest step at or below the
-- rung. An attempt that continues after a checkpoint does not report the earlier steps again. If the attempt has no
-- report at or below the rung, the rule uses a report of an earlier attempt (ledger.last_report). If no attempt has a
-- report at or below the rung, the function records no verdict at this rung. A verdict is final, so a later attempt of
-- the trial gets the recorded verdicts. When a rung has stopped a trial, the function records no verdicts at higher
-- rungs.
-- With the rule `promotion` in batch mode, only ledger.promote and ledger.tell record verdicts. In batch mode, if a
-- rung has no verdict yet, the attempt must stop at this rung, so that the trial can pause (ledger.prune). In steady
-- mode, a promoted trial goes on in spite of its verdict. The table ledger.promotion records each promotion. In both
-- modes, an audited trial goes on in spite of its verdicts.
create or replace function ledger.decide(study_id int, trial int, attempt int, moment timestamptz) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
  reached bigint;
  place int;
  each bigint;
  given ledger.cutoff;
  own ledger.verdict;
begin
  select * into parent from ledger.study where id = decide.study_id and spec ? 'stopping';
  if not found then
    return false;
  end if;
  select iteration into place from ledger.trial where trial.study_id = parent.id and trial.number = decide.trial;
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
        where cutoff.study_id = parent.id and cutoff.iteration = place and cutoff.rung = each;
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
      return true;
    end if;
  end loop;
  return false;
end
$$;

comment on function ledger.decide is
  'Record the verdicts at the rungs that an attempt has reached, and answer whether the attempt stops. Internal.';
