-- Record the cutoffs of the groups of an iteration at a rung, in the order of the groups, as far as the cutoffs are
-- known. Only the rule `halving` in batch mode has groups (ledger.trial_group). The cutoff of a group depends on the
-- verdicts on all trials with a lower number than the first trial of the group. The cutoff is known when each of these
-- trials has a verdict at the rung or at a higher rung or has ended, and when the cutoffs of the group at the lower
-- rungs are known.
-- Therefore a verdict on a trial does not depend on the number of workers or on their speed. ledger.set_cutoffs records
-- the cutoffs of the first group.
-- A trial can end after it has reached a rung without a known cutoff, for example because the objective does not ask for
-- the verdict. Before the function records the cutoff of a group, it records the verdicts on these ended trials of the
-- group before.
--   parent: the study.
--   highest: the rung. The function first records the cutoffs at the lower rungs.
--   last: the number of the last group whose cutoff the caller needs. If the iteration has fewer groups, the function
--     also records the verdicts on the ended trials of its last group.
-- A worker can leave a transaction open that has recorded the same cutoff. If this transaction is still open after half
-- a second, the function records nothing. A later call records the cutoff.
create or replace function ledger.set_group_cutoffs(
  parent ledger.study, iteration int, highest bigint, last int, moment timestamptz)
returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
  stopping jsonb := parent.spec -> 'stopping';
  eta int := (parent.spec -> 'stopping' ->> 'eta')::int;
  size int := (parent.spec -> 'stopping' ->> 'group_size')::int;
  place ledger.iteration;
  at_rung bigint;
  most int;
  known int;
  first int;
begin
  select * into place from ledger.iteration
  where iteration.study_id = parent.id and iteration.number = set_group_cutoffs.iteration;
  most := least(set_group_cutoffs.last, (place.size - 1) / size + 1);
  foreach at_rung in array ledger.rungs(stopping) loop
    exit when at_rung > set_group_cutoffs.highest;
    select coalesce(max(cutoff.group_number), 0) into known from ledger.cutoff
    where cutoff.study_id = parent.id and cutoff.iteration = place.number and cutoff.rung = at_rung;
    while known < most loop
      first := place.first_trial + (known + 1) * size;
      exit when exists (
        select from ledger.trial
        where trial.study_id = parent.id and trial.number >= place.first_trial
          and trial.number < least(first, place.first_trial + place.size) and trial.state in ('pending', 'running')
          and not exists (
            select from ledger.verdict
            -- A trial gets no verdict at a rung that it has skipped, because it has no report at or below the rung.
            where verdict.study_id = parent.id and verdict.trial = trial.number and verdict.rung >= at_rung));
      -- Usually each ended trial has been pruned, or has a verdict. A call of ledger.undecided reads the whole iteration.
      if exists (
        select from ledger.trial
        where trial.study_id = parent.id and trial.number >= first - size and trial.number < first
          and trial.state not in ('pending', 'running', 'pruned')
          and not exists (
            select from ledger.verdict
            where verdict.study_id = parent.id and verdict.trial = trial.number and verdict.rung >= at_rung)) then
        insert into ledger.verdict
          (study_id, trial, rung, attempt, step, loss, cutoff, compared, stops, audited, decided_at)
        select
          parent.id, ended.trial, at_rung, ended.attempt, ended.step, ended.loss, limiting.loss, limiting.compared,
          ledger.is_stopped(eta, limiting.compared, ended.loss, limiting.loss), ended.audited, set_group_cutoffs.moment
        from ledger.undecided(parent.id, place.number, at_rung) as ended
        join ledger.cutoff as limiting
          on limiting.study_id = parent.id and limiting.iteration = place.number and limiting.rung = at_rung
          and limiting.group_number = known
        where ended.trial >= first - size and ended.trial < first and ended.state not in ('pending', 'running')
        order by ended.trial
        on conflict do nothing;
      end if;
      known := known + 1;
      -- After its last group, the iteration has no further cutoff.
      exit when first >= place.first_trial + place.size;
      insert into ledger.cutoff (study_id, iteration, rung, group_number, loss, compared)
      select
        parent.id, place.number, at_rung, known,
        nullif(ledger.rung_cutoff(stopping ->> 'rule', eta, earlier.losses), 'infinity'), cardinality(earlier.losses)
      from (
        select array(
          select verdict.loss
          from ledger.verdict
          where verdict.study_id = parent.id and verdict.rung = at_rung and verdict.trial < first) as losses) as earlier
      on conflict do nothing;
    end loop;
    most := least(most, known);
  end loop;
exception when lock_not_available then
  null;
end
$$;

comment on function ledger.set_group_cutoffs is
  'Record the cutoffs of the groups of an iteration at a rung, as far as they are known. Internal.';
