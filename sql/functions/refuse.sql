-- Release a trial whose worker cannot load the study's objective. Also record the refusal with its reason, which users
-- see in the view ledger.refusals. Another worker can claim the trial at once, or after the pause that
-- ledger.release_pause returns. The released attempt counts neither as a failed nor as a lost attempt. For some time
-- after a refusal, the worker should pass the id of the study in the argument leave_out of ledger.claim. The worker
-- then gets no trial of the study.
--   reason: the reason for the refusal, which users can read. The function stores the first 1000 characters of the
--     reason.
-- The ledger keeps at most one refusal for each pair of a worker and a study. The function records a refusal only if
-- the worker has called ledger.announce. Each call also removes the refusals of workers that have stopped, or that have
-- not announced themselves recently.
-- The function returns false if the worker had already lost the claim. The function records the refusal even if the
-- claim is lost.
create or replace function ledger.refuse(study_id int, trial int, claim uuid, reason text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  released boolean;
begin
  -- Because of a foreign key, the insert into ledger.refusal locks the row of the study. The statement below locks the
  -- study first, because every function must lock the row of a study before the row of a trial.
  perform from ledger.study where id = refuse.study_id for key share;
  released := ledger.release(refuse.study_id, refuse.trial, refuse.claim);
  delete from ledger.refusal
  where (worker, study_id) in (
    select refusal.worker, refusal.study_id
    from ledger.refusal
    join ledger.worker on worker.name = refusal.worker
    where worker.stopped_at is not null or not ledger.announced_recently(worker.last_seen_at, moment)
    -- With "skip locked", two workers that remove the same refusals do not wait for each other.
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
