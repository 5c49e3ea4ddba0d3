-- Return the report that contains the loss of a trial at a rung. A trial reaches a rung with the first report at or
-- above the rung, in any attempt. The function ignores all reports that came after this report. Otherwise, the loss
-- could depend on the time of the verdict. The function chooses the last attempt that has a report at or below the
-- rung. From the reports of this attempt, the function returns the report with the highest step at or below the rung.
-- If no report is left, the answer has no rows.
create or replace function ledger.last_report(study_id int, trial int, rung bigint)
returns table (attempt int, step bigint, loss float8)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select report.attempt, report.step, report.loss
  from ledger.report
  where report.study_id = last_report.study_id and report.trial = last_report.trial and report.step <= last_report.rung
    and (report.after_step is null or report.after_step < last_report.rung)
    and report.attempt <= coalesce(
      (select reaching.number
       from ledger.attempt as reaching
       where reaching.study_id = last_report.study_id and reaching.trial = last_report.trial and exists (
         select from ledger.report as above
         where above.study_id = last_report.study_id and above.trial = last_report.trial
           and above.attempt = reaching.number and above.step >= last_report.rung)
       order by reaching.number
       limit 1), 2147483647)
  order by report.attempt desc, report.step desc
  limit 1
$$;

comment on function ledger.last_report is
  'The report of a trial from which a rung takes the loss. Internal.';
