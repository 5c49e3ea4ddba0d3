-- Give back a trial whose worker cannot load the study's objective. Also record the refusal with its reason, which
-- users see in the view ledger.refusals. Another worker can claim the trial at once, or after the pause of
-- ledger.release_pause. The released attempt counts against no limit. The worker should claim no trials of the study
-- for a while, by the argument leave_out of ledger.claim.
--   reason: the reason of the refusal, for users. The function stores the reason's first 1000 characters.
-- The ledger keeps one refusal for each worker and study, and only for workers that have announced themselves. Each
-- call also removes the refusals of workers that have stopped, or that have not announced themselves recently.
-- The answer is false if the worker had already lost the claim. The function records the refusal even if the claim is
-- lost.
create or replace function ledger.refuse(study_id int, trial int, claim uuid, reason text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  released boolean;
begin
  -- The foreign key of the refusal locks the study. This statement locks the study first, because each function
  -- must lock the study before the trial.
  perform from ledger.study where id = refuse.study_id for key share;
  released := ledger.release(refuse.study_id, refuse.trial, refuse.claim);
  delete from ledger.refusal
  where (worker, study_id) in (
    select refusal.worker, refusal.study_id
    from ledger.refusal
    join ledger.worker on worker.name = refusal.worker
    where worker.stopped_at is not null or not ledger.announced_recently(worker.last_seen_at, moment)
    -- If two workers remove the same refusals, neither of them waits for the other.
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
