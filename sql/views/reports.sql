-- The intermediate values that the attempts of all trials reported during the training. An attempt that continues from
-- a checkpoint begins with a later step than the previous attempt. Therefore the learning curve of a trial can consist
-- of the reports of several attempts. An attempt without a checkpoint reports the earlier steps again, and the new
-- reports replace the earlier reports.
create or replace view ledger.reports as
select
  report.study_id,
  study.name as study,
  report.trial,
  report.attempt,
  report.step,
  report.loss,
  ledger.value(report.loss, study.direction, study.loss_of_zero) as value,
  report.metrics,
  extract(epoch from report.reported_at - attempt.claimed_at)::double precision as seconds,
  report.reported_at,
  -- The subquery reads one report of each later attempt. PostgreSQL runs the subquery only if a query uses this column.
  exists (
    select from ledger.attempt as later
    where later.study_id = report.study_id and later.trial = report.trial and later.number > report.attempt
      and exists (
        select from ledger.report as again
        where again.study_id = report.study_id and again.trial = report.trial and again.attempt = later.number
          and again.step <= report.step)) as is_replaced,
  report.after_step
from ledger.report
join ledger.study on study.id = report.study_id
left join ledger.attempt
  on attempt.study_id = report.study_id and attempt.trial = report.trial and attempt.number = report.attempt;

comment on view ledger.reports is
  'Reports: the intermediate values of trials, one row for each step that an attempt reported.';
comment on column ledger.reports.study is 'Name of the study.';
comment on column ledger.reports.value is
  'Value that the objective reported at the step; null if the value was NaN or an infinity.';
comment on column ledger.reports.seconds is 'Seconds from the claim of the attempt to the report.';
comment on column ledger.reports.is_replaced is
  'Whether a later attempt has reported this step or an earlier step. The other reports are the learning curve.';
