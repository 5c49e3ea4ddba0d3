-- Record the verdict of a study's rule at each rung that an attempt has reached, and answer whether the attempt stops.
-- The caller has locked the trial. A rung takes the last reported step at or below it. An attempt that has reported no
-- step at or below a rung gets no verdict there. A verdict is final: an attempt that repeats a trial gets the verdicts
-- of the first attempt. After the rung that stops a trial, the trial reaches no further rung.
create or replace function ledger.decide(study_id int, trial int, attempt int, moment timestamptz) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  parent ledger.study;
  reached bigint;
  place int;
  each bigint;
  found_step bigint;
  found_loss float8;
  given ledger.cutoff;
  is_stopped bool;
  is_audited bool;
begin
  select * into parent from ledger.study where id = decide.study_id and spec ? 'stopping';
  if not found then
    return false;
  end if;
  select iteration into place from ledger.trial where trial.study_id = parent.id and trial.number = decide.trial;
  select max(step) into reached from ledger.report
  where report.study_id = parent.id and report.trial = decide.trial and report.attempt = decide.attempt;
  is_audited := ledger.is_audited(parent.seed, decide.trial, (parent.spec -> 'stopping' ->> 'audit')::float8);
  foreach each in array ledger.rungs(parent.spec -> 'stopping') loop
    exit when each > reached;
    select stops into is_stopped from ledger.verdict
    where verdict.study_id = parent.id and verdict.trial = decide.trial and verdict.rung = each;
    if not found then
      select step, loss into found_step, found_loss from ledger.report
      where report.study_id = parent.id and report.trial = decide.trial and report.attempt = decide.attempt
        and report.step <= each
      order by report.step desc limit 1;
      continue when not found;
      select * into given from ledger.cutoff
      where cutoff.study_id = parent.id and cutoff.iteration = place and cutoff.rung = each;
      is_stopped := coalesce(given.compared, 0) >= (parent.spec -> 'stopping' ->> 'eta')::int
                    and (found_loss is null or coalesce(found_loss >= given.loss, false));
      insert into ledger.verdict
        (study_id, trial, rung, attempt, step, loss, cutoff, compared, stops, audited, decided_at)
      values
        (parent.id, decide.trial, each, decide.attempt, found_step, found_loss, given.loss,
         coalesce(given.compared, 0), is_stopped, is_audited, moment);
    end if;
    if is_stopped and not is_audited then
      return true;
    end if;
  end loop;
  return false;
end
$$;

comment on function ledger.decide is
  'Record the verdicts at the rungs that an attempt has reached, and answer whether the attempt stops. Internal.';
