-- Give back a trial that the worker cannot train, because it cannot load the study's objective. Also record the
-- refusal and its reason, which users see in the view ledger.refusals. Another worker can claim the trial at once. The
-- released attempt counts against no limit. The worker should claim no trials of the study for a while
-- (ledger.claim, leave_out).
--   reason: the reason of the refusal, for users. The function stores the first 1000 characters.
-- The ledger keeps one refusal for each worker and study, and only for workers that have announced themselves. It
-- removes the refusals of a worker that has stopped, or that was not seen for a while. The answer is false if the
-- worker had already lost the claim. The refusal is recorded in this case, too.
create or replace function ledger.refuse(study_id int, trial int, claim uuid, reason text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  released boolean;
begin
  -- The foreign key of the refusal locks the study. This statement locks the study before the trial.
  perform from ledger.study where id = refuse.study_id for key share;
  released := ledger.release(refuse.study_id, refuse.trial, refuse.claim);
  delete from ledger.refusal
  where (worker, study_id) in (
    select refusal.worker, refusal.study_id
    from ledger.refusal
    join ledger.worker on worker.name = refusal.worker
    where worker.stopped_at is not null
       or worker.last_seen_at not between moment - ledger.alive_for() and moment + ledger.alive_for()
    -- Two workers that remove the same refusals do not wait for each other.
    for update of refusal skip locked);
  insert into ledger.refusal as known (worker, study_id, reason, refused_at)
  select worker.name, attempt.study_id, left(coalesce(refuse.reason, 'no reason was given'), 1000), moment
  from ledger.attempt
  join ledger.worker on worker.name = attempt.worker and worker.stopped_at is null
  where attempt.claim = refuse.claim and attempt.study_id = refuse.study_id and attempt.trial = refuse.trial
  on conflict (worker, study_id) do update set reason = excluded.reason, refused_at = excluded.refused_at;
  return released;
end
$$;

comment on function ledger.refuse is
  'Give a trial back, because its worker cannot load the objective, and record the reason. Counts against no limit. '
  'False: the claim was lost before.';
