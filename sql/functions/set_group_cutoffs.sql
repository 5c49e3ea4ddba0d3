-- Record the cutoffs of the groups of an iteration at a rung, in the order of the groups, as far as the cutoffs are known.
-- Only the rule `halving` in batch mode has groups (ledger.trial_group). The cutoff of a group depends on the verdicts
-- on all trials with a lower number than the first trial of the group. The cutoff is known when each of these trials has
-- a verdict at the rung or has ended. Therefore a verdict on a trial does not depend on the number of workers or on their
-- speed. ledger.set_cutoffs records the cutoffs of the first group.
-- A trial can end after it has reached a rung without a known cutoff, for example because the objective does not ask for
-- the verdict. Before the function records the cutoff of a group, it records the verdicts on these ended trials of the
-- group before.
--   parent: the study.
--   last: the number of the last group whose cutoff the caller needs. If the iteration has fewer groups, the function
--     also records the verdicts on the ended trials of its last group.
-- A worker can leave a transaction open that has recorded the same cutoff. If this transaction is still open after half
-- a second, the function records nothing more. A later call records the cutoff.
create or replace function ledger.set_group_cutoffs(
  parent ledger.study, iteration int, rung bigint, last int, moment timestamptz)
returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
  stopping jsonb := parent.spec -> 'stopping';
  eta int := (parent.spec -> 'stopping' ->> 'eta')::int;
  size int := (parent.spec -> 'stopping' ->> 'group_size')::int;
  place ledger.iteration;
  known int;
  first int;
begin
  select * into place from ledger.iteration
  where iteration.study_id = parent.id and iteration.number = set_group_cutoffs.iteration;
  select coalesce(max(cutoff.group_number), 0) into known from ledger.cutoff
  where cutoff.study_id = parent.id and cutoff.iteration = set_group_cutoffs.iteration
    and cutoff.rung = set_group_cutoffs.rung;
  for number in known + 1 .. least(set_group_cutoffs.last, (place.size - 1) / size + 1) loop
    first := place.first_trial + number * size;
    exit when exists (
      select from ledger.trial
      where trial.study_id = parent.id and trial.number >= place.first_trial
        and trial.number < least(first, place.first_trial + place.size) and trial.state in ('pending', 'running')
        and not exists (
          select from ledger.verdict
          where verdict.study_id = parent.id and verdict.trial = trial.number
            and verdict.rung = set_group_cutoffs.rung));
    insert into ledger.verdict (study_id, trial, rung, attempt, step, loss, cutoff, compared, stops, audited, decided_at)
    select
      parent.id, ended.trial, set_group_cutoffs.rung, ended.attempt, ended.step, ended.loss, limiting.loss,
      limiting.compared, ledger.is_stopped(eta, limiting.compared, ended.loss, limiting.loss), ended.audited,
      set_group_cutoffs.moment
    from ledger.undecided(parent.id, set_group_cutoffs.iteration, set_group_cutoffs.rung) as ended
    join ledger.cutoff as limiting
      on limiting.study_id = parent.id and limiting.iteration = set_group_cutoffs.iteration
      and limiting.rung = set_group_cutoffs.rung and limiting.group_number = number - 1
    where ended.trial >= first - size and ended.trial < first and ended.state not in ('pending', 'running')
    order by ended.trial
    on conflict do nothing;
    exit when first >= place.first_trial + place.size;
    insert into ledger.cutoff (study_id, iteration, rung, group_number, loss, compared)
    select
      parent.id, set_group_cutoffs.iteration, set_group_cutoffs.rung, number,
      nullif(ledger.rung_cutoff(stopping ->> 'rule', eta, earlier.losses), 'infinity'), cardinality(earlier.losses)
    from (
      select array(
        select verdict.loss
        from ledger.verdict
        where verdict.study_id = parent.id and verdict.rung = set_group_cutoffs.rung and verdict.trial < first)
        as losses) as earlier
    on conflict do nothing;
  end loop;
exception when lock_not_available then
  null;
end
$$;

comment on function ledger.set_group_cutoffs is
  'Record the cutoffs of the groups of an iteration at a rung, as far as they are known. Internal.';
