-- Bring in trials that were finished elsewhere, as evidence: they are complete, have a loss and no attempt, and nobody
-- claims them. Answers the number of the first. They join the study's last iteration while that is not told yet, or get
-- one of their own (ledger.join_iteration), which is told at once. Whether the parameters are in the study's space is
-- for the caller to check.
--   trials     an array of objects with params, loss (a finite number) and metrics (an object)
--   mean_loss  theirs, as a manager computes it
-- Refused: trials for a cancelled study, and parameters that the study has already.
create or replace function ledger.import_trials(study_id int, trials jsonb, mean_loss float8) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  parent ledger.study;
  known ledger.trial;
  place record;
  first_number int;
begin
  -- The study first, as its manager and a cancellation do.
  select * into parent from ledger.study where id = import_trials.study_id for update;
  if parent.state = 'cancelled' then
    raise exception 'study % was cancelled, which is for good: import into another one', parent.name
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  select trial.* into known
  from jsonb_array_elements(import_trials.trials) as one (imported)
  join ledger.trial on md5(trial.params::text) = md5((one.imported -> 'params')::text)
  where trial.study_id = import_trials.study_id and trial.retry_of is null
  order by trial.number
  limit 1;
  if found then
    raise exception 'trial % of study % has parameters that are imported, and is %', known.number, parent.name,
      known.state
      using errcode = 'object_not_in_prerequisite_state';
  end if;

  place := ledger.join_iteration(import_trials.study_id, jsonb_array_length(import_trials.trials), moment);
  select coalesce(max(trial.number) + 1, 0) into first_number from ledger.trial where trial.study_id = parent.id;
  insert into ledger.trial
    (study_id, number, iteration, round, source, params, state, available_at, finished_at, loss, metrics)
  select
    parent.id, first_number + one.position - 1, place.joined, place.joined_round, 'imported',
    one.imported -> 'params', 'complete', moment, moment, (one.imported ->> 'loss')::float8, one.imported -> 'metrics'
  from jsonb_array_elements(import_trials.trials) with ordinality as one (imported, position);
  if place.is_own then
    update ledger.iteration
    set told_at = moment, mean_loss = import_trials.mean_loss, best_loss = told.best_loss
    from (
      select min(trial.loss) as best_loss
      from ledger.trial
      where trial.study_id = parent.id and trial.number >= first_number) as told
    where iteration.study_id = parent.id and iteration.number = place.joined;
  end if;
  return first_number;
end
$$;

comment on function ledger.import_trials is
  'Bring in trials that were finished elsewhere, as history. Answers the number of the first.';
