-- End a study for good: what is pending or running is cancelled, and a running claim counts as lost, so that a result
-- that comes all the same is kept with its attempt as stale.
create or replace function ledger.cancel(study_id int, reason text) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
begin
  -- The study first: no claim is handed out after it, and one that is being taken now is waited for below.
  update ledger.study set state = 'cancelled', reason = cancel.reason, finished_at = moment
  where id = cancel.study_id;
  with ended as (
    update ledger.trial
    set state = 'cancelled', finished_at = moment, lease_until = null, deadline_at = null
    where trial.study_id = cancel.study_id and trial.state in ('pending', 'running')
    returning trial.claim)
  update ledger.attempt
  set outcome = 'lost', ended_at = moment, error = 'the study was cancelled'
  from ended
  where attempt.claim = ended.claim and attempt.outcome is null;
end
$$;
