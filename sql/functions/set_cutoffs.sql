-- Record the cutoffs of a new iteration in batch mode. The cutoffs depend only on the trials of earlier iterations, and
-- all these trials have ended. Therefore a verdict on a trial does not depend on the number of workers or on their
-- speed. If the study has no early stopping, or if the study is in steady mode, the function does nothing. With the
-- rule `promotion`, ledger.promote records the cutoffs. If the study has groups, ledger.set_group_cutoffs records the
-- cutoffs of all groups except the first group.
create or replace function ledger.set_cutoffs(study_id int, iteration int, first_trial int) returns void
language sql set search_path = pg_catalog, pg_temp
as $$
  insert into ledger.cutoff (study_id, iteration, rung, loss, compared)
  select
    parent.id, set_cutoffs.iteration, at.step,
    nullif(ledger.rung_cutoff(parent.spec -> 'stopping' ->> 'rule', (parent.spec -> 'stopping' ->> 'eta')::int, losses),
           'infinity'),
    cardinality(losses)
  from ledger.study as parent
  cross join unnest(ledger.rungs(parent.spec -> 'stopping')) as at (step)
  cross join lateral (
    select array(
      select verdict.loss
      from ledger.verdict
      where verdict.study_id = parent.id and verdict.rung = at.step and verdict.trial < set_cutoffs.first_trial)
      as losses) as earlier
  where parent.id = set_cutoffs.study_id and parent.spec ? 'stopping'
    and coalesce(parent.spec ->> 'mode', 'batch') = 'batch' and parent.spec -> 'stopping' ->> 'rule' <> 'promotion'
$$;

comment on function ledger.set_cutoffs is
  'Record the cutoffs of a new iteration in batch mode, from the verdicts on the trials of earlier iterations. Internal.';
