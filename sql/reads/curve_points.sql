-- The learning curve of each trial in the list `trials`. If a curve has more than `points` reports, the query returns a
-- selection of about `points` reports. The selection contains every n-th report of the curve, and always contains the
-- last report. The column `reports` contains the number of all reports of the curve.
select trial, step, value, reports
from (
  select
    report.trial, report.step, report.value,
    row_number() over in_order as place,
    count(*) over (partition by report.trial) as reports
  from unnest(cast(:trials as int[])) as wanted (trial)
  join ledger.reports as report
    on report.study_id = :study and report.trial = wanted.trial and not report.is_replaced
  window in_order as (partition by report.trial order by report.step)) as numbered
where (place - 1) % ceil(reports / cast(:points as float8))::int = 0 or place = reports
order by trial, step
