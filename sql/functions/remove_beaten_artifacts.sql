-- Remove artifacts of the trials that have ended and are not among the best trials. The best trials are the trials with
-- the lowest losses among the complete trials that still have artifacts. If two losses are equal, the trial with the
-- lower number is better. A trial that has not ended keeps its artifacts, so the function disturbs no worker. The
-- function removes no checkpoints.
--   kept: the number of trials that keep their artifacts, at least 1.
-- One call removes at most 50 artifacts, and deletes at most about 256 MB of contents in the ledger itself. Because of
-- the limits on the number and the size, a call ends within the time limit of a statement. The answer is the number of
-- removed artifacts. A caller repeats the call until the answer is 0. The function never waits for a lock of another
-- session, and leaves locked artifacts to the next call.
create or replace function ledger.remove_beaten_artifacts(study_id int, kept int) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  contents uuid[];
begin
  if remove_beaten_artifacts.kept is null or remove_beaten_artifacts.kept < 1 then
    raise exception 'artifacts: the number of trials that keep their artifacts must be at least 1'
      using errcode = 'invalid_parameter_value';
  end if;
  with present as (
    select known.trial
    from ledger.artifact as known
    where known.study_id = remove_beaten_artifacts.study_id and known.content is not null and known.step is null
    group by known.trial),
  best as (
    select trial.number
    from present
    join ledger.trial on trial.study_id = remove_beaten_artifacts.study_id and trial.number = present.trial
    where trial.state = 'complete'
    order by trial.loss, trial.number
    limit remove_beaten_artifacts.kept),
  found as (
    select known.trial, known.attempt, known.name, case when known.store is null then known.size else 0 end as bytes
    from ledger.artifact as known
    join ledger.trial on trial.study_id = known.study_id and trial.number = known.trial
    where known.study_id = remove_beaten_artifacts.study_id and known.content is not null and known.step is null
      and trial.finished_at is not null and not exists (select from best where best.number = known.trial)
    limit 50
    for no key update of known skip locked),
  summed as (
    select *, sum(bytes) over (order by trial, attempt, name rows between unbounded preceding and 1 preceding) as earlier
    from found),
  beaten as (
    select known.trial, known.attempt, known.name, known.content
    from summed
    join ledger.artifact as known
      on known.study_id = remove_beaten_artifacts.study_id
      and (known.trial, known.attempt, known.name) = (summed.trial, summed.attempt, summed.name)
    where summed.earlier is null or summed.earlier < 256 * 1024 * 1024),
  removed as (
    update ledger.artifact as known
    set content = null, removed_at = ledger.clock()
    from beaten
    where known.study_id = remove_beaten_artifacts.study_id and known.trial = beaten.trial
      and known.attempt = beaten.attempt and known.name = beaten.name
    returning beaten.content)
  select array_agg(content) into contents from removed;
  if contents is null then
    return 0;
  end if;
  perform ledger.discard_contents(contents);
  return cardinality(contents);
end
$$;

comment on function ledger.remove_beaten_artifacts is
  'Remove artifacts of the ended trials that are not among the best trials with artifacts. Answers their number.';
