-- The steps that the pruned trials of a study did not train, and an estimate of the seconds that these steps would have
-- taken. Without the rule, a trial would have trained its own number of boosting rounds, or else max_resource steps. A
-- trial ended at its last reported step, which can be later than the step of its verdict. The seconds per step are those
-- of the last attempt with reports. The query assumes that an attempt continued after the last step below its first
-- step that an earlier attempt reported, or else began at step 0. A trial whose seconds per step are unknown, or whose
-- estimate is not plausible, adds no seconds. The query reads at most two reports of each attempt, by the primary key.
with study as materialized (
  select spec -> 'stopping' ->> 'resource' = 'rounds' as is_in_rounds,
    spec -> 'objective' -> 'params' -> 'n_estimators' as rounds, (spec -> 'stopping' ->> 'max_resource')::float8 as steps
  from ledger.studies where study_id = :study)
select coalesce(sum(saved.steps), 0) as steps,
  sum(saved.seconds) filter (where saved.seconds <= :longest_seconds) as seconds
from study cross join ledger.trials as trial
cross join lateral (
  select report.attempt, report.step
  from ledger.reports as report
  where report.study_id = :study and report.trial = trial.trial
  order by report.attempt desc, report.step desc
  limit 1) as last
left join ledger.attempts as attempt
  on attempt.study_id = :study and attempt.trial = trial.trial and attempt.attempt = last.attempt
-- Most pruned trials have one attempt, for which this subquery reads nothing.
cross join lateral (
  select coalesce(max(before.step), 0) as step
  from ledger.attempts as earlier
  cross join lateral (
    select report.step
    from ledger.reports as report
    where report.study_id = :study and report.trial = trial.trial and report.attempt = earlier.attempt
      and report.step < (
        select first.step
        from ledger.reports as first
        where first.study_id = :study and first.trial = trial.trial and first.attempt = last.attempt
        order by first.step
        limit 1)
    order by report.step desc
    limit 1) as before
  where last.attempt > 1 and earlier.study_id = :study and earlier.trial = trial.trial
    and earlier.attempt < last.attempt) as began
cross join lateral (
  select coalesce(
    case when study.is_in_rounds then coalesce(ledger.number(trial.params -> 'n_estimators'), ledger.number(study.rounds))
    end, study.steps) as steps) as whole
cross join lateral (
  select left_over.steps, left_over.steps * attempt.seconds / nullif(last.step - began.step, 0) as seconds
  from (select greatest(floor(least(whole.steps, :largest_step)) - last.step, 0) as steps) as left_over) as saved
where trial.study_id = :study and trial.state = 'pruned' and trial.source <> 'imported'
