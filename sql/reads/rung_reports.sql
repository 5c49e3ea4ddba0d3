-- For each verdict of a study, the report from which the rung takes the loss of the trial. A verdict at a rung that the
-- trial has not reached has no row. The query has the rules of the function ledger.last_report, which the role
-- ledger_reader may not call.
select verdict.trial, verdict.rung, last.attempt, last.step, last.loss, last.reported_at
from ledger.verdicts as verdict
cross join lateral (
  select report.attempt, report.step, report.loss, report.reported_at
  from ledger.reports as report
  where report.study_id = :study and report.trial = verdict.trial and report.step <= verdict.rung
    and (report.after_step is null or report.after_step < verdict.rung)
    and report.attempt <= (
      select reaching.attempt
      from ledger.attempts as reaching
      where reaching.study_id = :study and reaching.trial = verdict.trial and exists (
        select from ledger.reports as above
        where above.study_id = :study and above.trial = verdict.trial
          and above.attempt = reaching.attempt and above.step >= verdict.rung)
      order by reaching.attempt
      limit 1)
  order by report.attempt desc, report.step desc
  limit 1) as last
where verdict.study_id = :study
