-- Hold a claim for one more lease. False: the claim is lost, so stop training. A claim that was taken back, but that no other
-- worker has replaced, is valid again.
create or replace function ledger.heartbeat(study_id int, trial int, claim uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  update ledger.trial
  set state = 'running', lease_until = ledger.clock() + study.lease
  from ledger.study
  where study.id = heartbeat.study_id
    and trial.study_id = heartbeat.study_id and trial.number = heartbeat.trial and trial.claim = heartbeat.claim
    and trial.finished_at is null;
  return found;
end
$$;

comment on function ledger.heartbeat is
  'Hold a claim for one more lease. False: the claim is lost, so stop training.';
