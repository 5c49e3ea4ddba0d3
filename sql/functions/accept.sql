-- Remove a worker's refusal of a study. The worker calls this function during an attempt, after the worker has loaded
-- the study's objective. If the worker has not refused the study, the function does nothing.
create or replace function ledger.accept(study_id int, trial int, claim uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  delete from ledger.refusal
  using ledger.attempt
  where attempt.claim = accept.claim and attempt.study_id = accept.study_id and attempt.trial = accept.trial
    and refusal.worker = attempt.worker and refusal.study_id = attempt.study_id;
end
$$;

comment on function ledger.accept is
  'Remove a worker''s refusal of a study, because the worker has now loaded the objective of the study.';
