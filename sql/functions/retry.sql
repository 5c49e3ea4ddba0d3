-- Try the parameters of a failed or cancelled trial again, as a new trial: terminal rows do not change. Answers its
-- number. It joins the study's last iteration while that is not told yet; else it makes an iteration of its own, for
-- which the budget grows by one, so that a study that has ended runs again. A paused one stays paused. In steady mode
-- it always makes an iteration of its own, and the budget, which counts what is proposed, stays.
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
  joined ledger.iteration;
  refused text;
  is_steady boolean;
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

  is_steady := coalesce(parent.spec ->> 'mode' = 'steady', false);
  update ledger.iteration set size = size + 1
  where iteration.study_id = parent.id and iteration.told_at is null and not is_steady
  returning iteration.* into joined;
  if not found then
    insert into ledger.iteration (study_id, number, round, size, asked_at, ask_seconds, tell_seconds, environment, seen)
    select parent.id, max(number) + 1, 0, 1, moment, 0, 0, '{}', case when is_steady then '{}'::int[] end
    from ledger.iteration
    where iteration.study_id = parent.id
    returning iteration.* into joined;
    if not is_steady then
      update ledger.study set iterations = iterations + 1 where id = parent.id;
    end if;
  end if;
  update ledger.study set state = 'running', reason = null, finished_at = null
  where id = parent.id and state in ('complete', 'failed');
  select max(number) + 1 into next_number from ledger.trial where trial.study_id = parent.id;
  insert into ledger.trial (study_id, number, iteration, round, source, retry_of, params, available_at)
  values (parent.id, next_number, joined.number, joined.round, 'retried', retried.number, retried.params, moment);
  notify ledger;
  return next_number;
end
$$;

comment on function ledger.retry is
  'Try the parameters of a failed or cancelled trial again, as a new trial. Answers its number.';
