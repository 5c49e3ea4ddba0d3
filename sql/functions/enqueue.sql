-- Add a trial with parameters that a user chose. ledger.enqueue returns the number of the new trial. Workers claim an
-- enqueued trial before all proposed trials. The budget of the study does not include enqueued trials. The function
-- ledger.join_iteration chooses the iteration of the trial. ledger.enqueue sets the state of a complete or failed study
-- to `running`, but a paused study stays paused. The caller of ledger.enqueue must check that the values of the
-- parameters are in the study's search space. ledger.enqueue refuses to add a trial to a cancelled study.
-- ledger.enqueue also refuses a trial if the names of its parameters differ from the names in the search space.
-- ledger.enqueue also refuses a trial if an earlier trial of the study has the same parameters.
create or replace function ledger.enqueue(study_id int, params jsonb) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  parent ledger.study;
  known ledger.trial;
  place record;
  next_number int;
  fault text;
begin
  select * into parent from ledger.study where id = enqueue.study_id for no key update;
  if parent.state = 'cancelled' then
    raise exception 'study % was cancelled, which is final: enqueue the trial in another study', parent.name
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  fault := ledger.params_fault(parent.spec, enqueue.params);
  if fault is not null then
    raise exception 'study %: %', parent.name, fault using errcode = 'invalid_parameter_value';
  end if;
  select trial.* into known
  from ledger.trial
  where trial.study_id = enqueue.study_id and md5(trial.params::text) = md5(enqueue.params::text)
    and trial.retry_of is null;
  if found then
    raise exception 'trial % of study % has these parameters, and is %', known.number, parent.name,
      known.state || case
        when known.state = 'complete' then format(': its value is %s',
          ledger.value(known.loss, parent.direction, parent.loss_of_zero))
        when known.state in ('failed', 'cancelled') then
          format(': `ledger trial retry %s %s` tries them again', parent.name, known.number)
        when known.source = 'imported' then ': it was imported'
        when known.state = 'pruned' then format(': the rule of early stopping ended it after step %s', known.pruned_step)
        else ', so it has not ended yet'
      end
      using errcode = 'object_not_in_prerequisite_state';
  end if;

  place := ledger.join_iteration(enqueue.study_id, 1, moment);
  update ledger.study
  set state = 'running', reason = null, finished_at = null, stopped_by = null, stopping_at = null
  where id = parent.id and state in ('complete', 'failed');
  next_number := ledger.next_trial(parent.id);
  insert into ledger.trial (study_id, number, iteration, round, source, params, available_at)
  values (parent.id, next_number, place.joined, place.joined_round, 'enqueued', enqueue.params, moment);
  perform ledger.notify('ledger');
  return next_number;
end
$$;

comment on function ledger.enqueue is
  'Add a trial with parameters that a user chose. Workers claim this trial before proposed trials. Answers the number '
  'of the trial.';
