-- Release a trial, because its worker cannot load the study's objective. Also record the refusal and the reason for the
-- refusal. Users see the reason in the view ledger.refusals. Another worker can claim the trial at once, or after the
-- pause that ledger.release_pause returns. The attempt gets the outcome `released`, so the attempt is neither a failed
-- attempt nor a lost attempt. For some time after a refusal, the worker should pass the id of the study in the argument
-- `leave_out` of ledger.claim. ledger.claim returns no trial of a study whose id is in `leave_out`.
--   reason: the reason for the refusal, which users can read. The function stores the first 1000 characters of the
--     reason.
-- The ledger keeps at most one refusal for each pair of a worker and a study. The function records a refusal only if
-- the worker has called ledger.announce. Each call also removes the refusals of each worker that has stopped, or that
-- has not announced itself recently.
-- The function returns false if the worker had already lost the claim. Even if the worker has lost the claim, the
-- function records the refusal.
create or replace function ledger.refuse(study_id int, trial int, claim uuid, reason text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  released boolean;
begin
  -- Because of a foreign key, an insert into ledger.refusal locks the row of the study. The following statement locks
  -- the row of the study earlier, because every function must lock the row of a study before the row of a trial.
  perform from ledger.study where id = refuse.study_id for key share;
  released := ledger.release(refuse.study_id, refuse.trial, refuse.claim);
  delete from ledger.refusal
  where (worker, study_id) in (
    select refusal.worker, refusal.study_id
    from ledger.refusal
    join ledger.worker on worker.name = refusal.worker
    where worker.stopped_at is not null or not ledger.announced_recently(worker.last_seen_at, moment)
    -- Because of the clause "skip locked", two workers that remove the same refusals do not wait for each other.
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
  'Give back a trial whose worker cannot load the objective, and record the reason. The attempt counts against no '
  'limit. If the answer is false, the worker had already lost the claim.';
