-- Add trials that a user has evaluated outside the ledger. The optimizer also receives the losses of the added trials.
-- An imported trial is complete or pruned, and has no attempt. Workers never claim an imported trial. The budget of
-- the study does not include imported trials. The answer is the number of the first imported trial. The function
-- ledger.join_iteration chooses the iteration of the trials. If ledger.join_iteration creates an iteration for the
-- trials, ledger.import_trials calls ledger.mark_told for the new iteration. The caller of the function must check that
-- the values of the parameters are in the study's search space.
--   trials: a JSON array of objects. Each object of the array has the keys `params`, `loss` (a finite number) and
--     `metrics` (an object). If an object has the key `pruned_step` with a number, the trial is pruned: `loss` is the
--     loss at this step, or null if the value at this step was not finite, and the function ignores `metrics`.
--   mean_loss: the mean of the losses of the complete trials, or null if all trials are pruned. The Python function
--     `mean_loss` in ledger/proposals/losses.py computes the mean.
-- The function refuses to add trials to a cancelled study. The function also refuses a trial if the names of its
-- parameters differ from the names in the search space. The function also refuses a trial if an earlier trial of the
-- study has the same parameters.
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
  fault text;
begin
  select * into parent from ledger.study where id = import_trials.study_id for no key update;
  if parent.state = 'cancelled' then
    raise exception 'study % was cancelled, which is final: import into another study', parent.name
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  fault := (
    select max(ledger.params_fault(parent.spec, given.trial -> 'params'))
    from jsonb_array_elements(import_trials.trials) as given (trial));
  if fault is not null then
    raise exception 'study %: %', parent.name, fault using errcode = 'invalid_parameter_value';
  end if;
  select trial.* into known
  from jsonb_array_elements(import_trials.trials) as given (trial)
  join ledger.trial on md5(trial.params::text) = md5((given.trial -> 'params')::text)
  where trial.study_id = import_trials.study_id and trial.retry_of is null
  order by trial.number
  limit 1;
  if found then
    raise exception 'trial % of study % has parameters that are imported, and is %', known.number, parent.name,
      known.state
      using errcode = 'object_not_in_prerequisite_state';
  end if;

  place := ledger.join_iteration(import_trials.study_id, jsonb_array_length(import_trials.trials), moment);
  first_number := ledger.next_trial(parent.id);
  insert into ledger.trial
    (study_id, number, iteration, round, source, params, state, available_at, finished_at, loss, metrics, pruned_step,
     pruned_loss)
  select
    parent.id, first_number + given.position - 1, place.joined, place.joined_round, 'imported',
    given.trial -> 'params', case when is_pruned then 'pruned' else 'complete' end, moment, moment,
    case when not is_pruned then (given.trial ->> 'loss')::float8 end,
    case when not is_pruned then given.trial -> 'metrics' end,
    (given.trial ->> 'pruned_step')::bigint,
    case when is_pruned then (given.trial ->> 'loss')::float8 end
  from jsonb_array_elements(import_trials.trials) with ordinality as given (trial, position)
  cross join lateral (select given.trial ->> 'pruned_step' is not null as is_pruned) as kind;
  if place.is_own then
    perform ledger.mark_told(
      parent.id, place.joined, moment, import_trials.mean_loss,
      (select min(trial.loss) from ledger.trial where trial.study_id = parent.id and trial.number >= first_number));
  end if;
  return first_number;
end
$$;

comment on function ledger.import_trials is
  'Add trials that were evaluated outside this ledger. Answers the number of the first trial.';
