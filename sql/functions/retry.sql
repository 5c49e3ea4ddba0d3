-- Retry a failed or cancelled trial. The function inserts a new trial with the same parameters, because an ended trial
-- never changes. The answer is the number of the new trial. The budget of the study does not include the new trial. The
-- function ledger.join_iteration chooses the iteration of the new trial. The function sets the state of a complete or
-- failed study to `running`, but a paused study stays paused.
-- The function accepts only failed and cancelled trials, and refuses all trials of a cancelled study. The function also
-- refuses a trial that a user has already retried. To retry a trial a second time, a user must retry the new trial that
-- the first retry inserted.
create or replace function ledger.retry(study_id int, trial int) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  parent ledger.study;
  retried ledger.trial;
  successor ledger.trial;
  place record;
  refused text;
  next_number int;
begin
  select * into parent from ledger.study where id = retry.study_id for no key update;
  select trial.* into retried
  from ledger.trial where trial.study_id = retry.study_id and trial.number = retry.trial;
  select trial.* into successor
  from ledger.trial where trial.study_id = retry.study_id and trial.retry_of = retry.trial;
  refused := case
    when retried.number is null then 'does not exist'
    when parent.state = 'cancelled' then 'cannot be retried: the study was cancelled, which is final'
    when retried.state in ('complete', 'pruned') then
      format('is %s: only a failed or cancelled trial can be retried', retried.state)
    when retried.state not in ('failed', 'cancelled') then format('is %s, so it has not ended yet', retried.state)
    when successor.number is not null then
      format('was retried as trial %s, which is %s', successor.number, successor.state)
      || case when successor.state in ('failed', 'cancelled') then ': retry trial ' || successor.number else '' end
  end;
  if refused is not null then
    raise exception 'trial % of study % %', retry.trial, parent.name, refused
      using errcode = 'object_not_in_prerequisite_state';
  end if;

  place := ledger.join_iteration(retry.study_id, 1, moment);
  update ledger.study
  set state = 'running', reason = null, finished_at = null, stopped_by = null, stopping_at = null
  where id = parent.id and state in ('complete', 'failed');
  next_number := ledger.next_trial(parent.id);
  insert into ledger.trial (study_id, number, iteration, round, source, retry_of, params, available_at)
  values (parent.id, next_number, place.joined, place.joined_round, 'retried', retried.number, retried.params, moment);
  perform ledger.notify('ledger');
  return next_number;
end
$$;

comment on function ledger.retry is
  'Try the parameters of a failed or cancelled trial again, in a new trial. Answers the number of the new trial.';
