-- For one iteration, return the trials that have reached a rung but have no verdict at this rung. The rule is
-- `promotion`, or `halving` with groups. A trial has reached the rung if an attempt has reported the rung's step or a
-- later step. The loss of a trial at the rung is the loss that ledger.last_report returns. If ledger.last_report
-- returns no row, the trial has skipped the rung, and gets no verdict. When a rung has stopped a trial, the trial gets
-- no verdicts at higher rungs. An audited trial is an exception, because it gets the verdicts at all rungs.
create or replace function ledger.undecided(study_id int, iteration int, rung bigint)
returns table (trial int, state text, attempt int, step bigint, loss float8, audited boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  return query
  select arrived.number, arrived.state, last.attempt, last.step, last.loss, known.audited
  from ledger.study as parent
  join ledger.iteration as place on place.study_id = parent.id and place.number = undecided.iteration
  join ledger.trial as arrived
    on arrived.study_id = parent.id and arrived.number >= place.first_trial
    and arrived.number < place.first_trial + place.size
  cross join lateral (
    select ledger.is_audited(parent.seed, arrived.number, (parent.spec -> 'stopping' ->> 'audit')::float8) as audited)
    as known
  cross join lateral ledger.last_report(parent.id, arrived.number, undecided.rung) as last
  where parent.id = undecided.study_id
    and exists (
      select from ledger.report
      where report.study_id = parent.id and report.trial = arrived.number and report.step >= undecided.rung)
    and not exists (
      select from ledger.verdict
      where verdict.study_id = parent.id and verdict.trial = arrived.number
        and (verdict.rung = undecided.rung
             or verdict.rung < undecided.rung and verdict.stops and not verdict.audited));
end
$$;

comment on function ledger.undecided is
  'The trials of an iteration that have reached a rung, and have no verdict there. Internal.';

-- For each trial that ledger.undecided returns, record the verdict at a rung of the rule `promotion`. The iteration
-- must have a cutoff at the rung. The caller has locked the study.
--   audited: whether audited trials also get verdicts. An audited trial does not pause, so ledger.tell records its
--     verdicts.
--   judged, promoted: the number of trials that got a verdict, and the number of these trials that go on.
create or replace function ledger.judge(
  study_id int, iteration int, rung bigint, audited boolean, moment timestamptz, out judged int, out promoted int)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  with given as (
    insert into ledger.verdict
      (study_id, trial, rung, attempt, step, loss, cutoff, compared, stops, audited, decided_at)
    select
      judge.study_id, arrived.trial, judge.rung, arrived.attempt, arrived.step, arrived.loss, limiting.loss,
      limiting.compared, not ledger.goes_on(arrived.loss, arrived.trial, limiting.loss, limiting.trial),
      arrived.audited, judge.moment
    from ledger.undecided(judge.study_id, judge.iteration, judge.rung) as arrived
    join ledger.cutoff as limiting
      on limiting.study_id = judge.study_id and limiting.iteration = judge.iteration and limiting.rung = judge.rung
    where judge.audited or not arrived.audited
    returning stops)
  select count(*), count(*) filter (where not given.stops) into judged, promoted from given;
end
$$;

comment on function ledger.judge is
  'Record the verdicts at a rung of the rule promotion, by the cutoff of the iteration. Internal.';
