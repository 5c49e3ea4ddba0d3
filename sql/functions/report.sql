-- Record intermediate values of a running trial. The function records each step of an attempt at most once. If the
-- ledger already has a report of a step, the ledger keeps the first report. Therefore a worker can repeat the call if
-- the worker has received no answer. The function treats the steps of one call as if they had arrived in increasing
-- order. The function does not renew the lease, because ledger.heartbeat renews the lease.
--   steps: the numbers of the training's steps, such as epochs. The first step is 0. One call has at most
--     ledger.most_reports_of_call() steps, and one attempt has at most ledger.most_reports() steps.
--   losses: the loss at each step. The function records null instead of a loss that is NaN or infinite.
--   metrics: null, or an array with one element for each step. An element is an object with the metrics of the step, or
--     null.
-- Answers:
--   continue: the function recorded the reports, and the worker continues the training.
--   stop: the function recorded the reports, and the study's rule stops the trial (ledger.decide).
--   wait: the function recorded the reports, but the verdict depends on trials that have not reached the rung yet. The
--     worker calls the function again later, with empty lists, until the answer differs.
--   release: the same, but one of these trials is pending. The worker releases the trial, and claims again.
--   stale: another worker has claimed the trial, or the trial has ended. The function recorded nothing.
--   unknown: no attempt has the claim of the caller, for example because a user has deleted the study.
create or replace function ledger.report(
  study_id int, trial int, claim uuid, steps bigint[], losses float8[], metrics jsonb[] default null)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  held int := ledger.held_attempt(report.study_id, report.trial, report.claim);
  highest bigint;
  recorded bigint;
begin
  if greatest(array_ndims(report.steps), array_ndims(report.losses), array_ndims(report.metrics)) > 1
     or cardinality(report.steps) is distinct from cardinality(report.losses)
     or cardinality(report.steps) <> cardinality(report.metrics)
     or array_position(report.steps, null) is not null then
    raise exception 'the reports: steps, losses and metrics are not lists of the same length; give one loss for each step'
      using errcode = 'invalid_parameter_value';
  end if;
  if cardinality(report.steps) > ledger.most_reports_of_call() then
    raise exception 'the reports: % steps are too many for one call; give at most % steps', cardinality(report.steps),
      ledger.most_reports_of_call() using errcode = 'invalid_parameter_value';
  end if;
  if held is not null then
    highest := (
      select max(kept.step) from ledger.report as kept
      where kept.study_id = report.study_id and kept.trial = report.trial and kept.attempt = held);
    insert into ledger.report as kept (study_id, trial, attempt, step, loss, metrics, reported_at, after_step)
    select report.study_id, report.trial, held, given.step,
           case when given.loss > '-infinity' and given.loss < 'infinity' then given.loss end, given.metrics, moment,
           case when highest > given.step then highest end
    from unnest(report.steps, report.losses, report.metrics) with ordinality as given (step, loss, metrics, place)
    order by given.place
    on conflict do nothing;
    recorded := (
      select count(*) from ledger.report as kept
      where kept.study_id = report.study_id and kept.trial = report.trial and kept.attempt = held);
    if recorded > ledger.most_reports() then
      raise exception 'the reports: an attempt may report at most % steps; report fewer steps', ledger.most_reports()
        using errcode = 'invalid_parameter_value';
    end if;
    -- In the first call of an attempt, note that the trial has reports (ledger.record_reports_digest).
    if recorded <= cardinality(report.steps) then
      update ledger.trial set reports_sha256 = ''
      where trial.study_id = report.study_id and trial.number = report.trial and trial.reports_sha256 is null;
    end if;
    return ledger.decide(report.study_id, report.trial, held, moment);
  end if;
  return ledger.invalid_claim(report.study_id, report.trial, report.claim);
end
$$;

comment on function ledger.report is
  'Record intermediate values of a trial in training: the steps, and the loss at each step. Answers continue, stop, '
  'wait, release, stale or unknown.';
