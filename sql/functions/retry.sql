-- Try the parameters of a failed or cancelled trial again, as a new trial: terminal rows do not change. Answers its
-- number. It joins the study's last iteration while that is not told yet, or gets one of its own
-- (ledger.join_iteration), so that it costs nothing of the budget. A study that has ended runs again, a paused one stays
-- paused.
-- Refused: a trial of a cancelled study, one that has not failed and was not cancelled, and one that was retried before
-- (then it is the retry that can be retried).
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
  -- The study first, as its manager and a cancellation do.
  select * into parent from ledger.study where id = retry.study_id for update;
  select trial.* into retried
  from ledger.trial where trial.study_id = retry.study_id and trial.number = retry.trial;
  select trial.* into successor
  from ledger.trial where trial.study_id = retry.study_id and trial.retry_of = retry.trial;
  refused := case
    when retried.number is null then 'does not exist'
    when parent.state = 'cancelled' then 'cannot be retried: the study was cancelled, which is for good'
    when retried.state = 'complete' then 'is complete, and its loss stands: only a failed or cancelled one can be retried'
    when retried.state not in ('failed', 'cancelled') then format('is %s, so it is still to come', retried.state)
    when successor.number is not null then
      format('was retried as trial %s, which is %s', successor.number, successor.state)
      || case when successor.state in ('failed', 'cancelled') then ': retry that one' else '' end
  end;
  if refused is not null then
    raise exception 'trial % of study % %', retry.trial, parent.name, refused
      using errcode = 'object_not_in_prerequisite_state';
  end if;

  place := ledger.join_iteration(retry.study_id, 1, moment);
  update ledger.study set state = 'running', reason = null, finished_at = null
  where id = parent.id and state in ('complete', 'failed');
  select max(number) + 1 into next_number from ledger.trial where trial.study_id = parent.id;
  insert into ledger.trial (study_id, number, iteration, round, source, retry_of, params, available_at)
  values (parent.id, next_number, place.joined, place.joined_round, 'retried', retried.number, retried.params, moment);
  notify ledger;
  return next_number;
end
$$;

comment on function ledger.retry is
  'Try the parameters of a failed or cancelled trial again, as a new trial. Answers its number.';
