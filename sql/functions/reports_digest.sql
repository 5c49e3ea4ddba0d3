-- Return the SHA-256 of a trial's reports: the attempt, the step, the loss and the metrics of each report, and the
-- column after_step if it is not null. In steady mode, the hash also covers the rung and the number of each arrival,
-- because the last arrival at a rung follows from no other row. An arrival has the attempt 0, which no report has. The
-- hash does not cover the times. The answer is null if the trial has no reports.
-- Two equal values of type jsonb can have different texts, such as 1.0 and 1.00. A dump keeps the text. An export does
-- not keep the text, but `ledger import` computes the hash again.
create or replace function ledger.reports_digest(study_id int, trial int) returns bytea
language sql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
  select sha256(string_agg(
    int4send(known.attempt) || int8send(known.step) || float8send(coalesce(known.loss, 'NaN'))
      || convert_to(coalesce(known.metrics::text, ''), 'UTF8') || coalesce(int8send(known.after_step), ''), ''
    order by known.attempt, known.step))
  from (
    select report.attempt, report.step, report.loss, report.metrics, report.after_step
    from ledger.report
    where report.study_id = reports_digest.study_id and report.trial = reports_digest.trial
    union all
    select 0, verdict.rung, verdict.arrival, null, null
    from ledger.verdict
    where verdict.study_id = reports_digest.study_id and verdict.trial = reports_digest.trial
      and verdict.arrival is not null) as known
$$;

comment on function ledger.reports_digest is
  'The SHA-256 of a trial''s reports, without their times, and of its arrivals at rungs; null if the trial has no reports. Internal.';

-- Record the SHA-256 of a trial's reports when the trial ends. The column has the empty value for an open trial with
-- reports, and is null only for a trial without reports. A report and an arrival lock the row of an open trial, so an
-- ended trial gets no more reports and arrivals. Most trials have no reports. Therefore the trigger fires on an update
-- only if ledger.report has set the column to the empty value.
create or replace function ledger.record_reports_digest() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  digest bytea := ledger.reports_digest(new.study_id, new.number);
begin
  new.reports_sha256 := case when digest is null or new.finished_at is not null then digest else '' end;
  return new;
end
$$;

comment on function ledger.record_reports_digest is
  'Trigger: record the SHA-256 of a trial''s reports when the trial ends.';

create or replace trigger ending_trials_get_a_digest before update on ledger.trial
  for each row when (new.finished_at is not null and new.reports_sha256 is not null)
  execute function ledger.record_reports_digest();
-- `ledger import` inserts the reports of a trial before the trial. A trial without attempts has no reports.
create or replace trigger imported_trials_get_a_digest before insert on ledger.trial
  for each row when (new.attempts > 0) execute function ledger.record_reports_digest();

-- Return the ended trials from `first` to `last` whose reports or arrivals differ from the recorded SHA-256. A trial
-- without a SHA-256 had no reports when it ended.
create or replace function ledger.changed_reports(study_id int, first int, last int) returns setof int
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select trial.number
  from ledger.trial
  where trial.study_id = changed_reports.study_id
    and trial.number between changed_reports.first and changed_reports.last
    and trial.finished_at is not null
    and trial.reports_sha256 is distinct from ledger.reports_digest(trial.study_id, trial.number)
  order by trial.number
$$;

comment on function ledger.changed_reports is
  'The ended trials from first to last whose reports or arrivals differ from the hash that the ledger recorded when the '
  'trial ended.';
