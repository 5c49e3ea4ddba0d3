-- Take one pending trial. The worker draws the claim, a random UUID: asked again with the same one, after a lost
-- acknowledgement, the answer is the same trial. No row: there is nothing to do now.
--   study   the study's name, or null for any running study, the oldest first
--   worker  who asks, as in ledger.announce
-- Sequential scans are off here and in the functions below, because a worker's session keeps the plans that it made
-- while the tables were small.
-- Hold it by ledger.heartbeat within every lease; end it by ledger.complete, ledger.fail or ledger.release.
create or replace function ledger.claim(study text, claim uuid, worker text)
returns table (
  study_id int, study_name text, trial int, attempt int, params jsonb, objective jsonb, study_seed bigint,
  lease_seconds float8, heartbeat_seconds float8, timeout_seconds float8)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  candidate ledger.study;
  taken ledger.trial;
begin
  -- Sent again while the first is still being committed, it waits for that one's trial instead of taking another.
  perform pg_advisory_xact_lock(uuid_hash_extended(claim.claim, 0));
  select trial.* into taken
  from ledger.trial
  join ledger.attempt on trial.study_id = attempt.study_id and trial.number = attempt.trial
  where attempt.claim = claim.claim;
  if found then
    if taken.claim is distinct from claim.claim or taken.state <> 'running' then
      return;
    end if;
    select * into candidate from ledger.study where id = taken.study_id;
  else
    for candidate in
      select * from ledger.study
      where state = 'running' and (claim.study is null or name = claim.study)
      order by id
    loop
      -- Materialized, because an inlined "limit ... for update" can take more rows than its limit. The limit and the
      -- states are literals: as parameters they flip the generic plan to a sequential scan.
      with next as materialized (
        select trial.study_id, trial.number
        from ledger.trial
        where trial.study_id = candidate.id and trial.state = 'pending' and trial.available_at <= moment
        order by trial.number
        limit 1
        for no key update skip locked)
      update ledger.trial
      set state = 'running', claim = claim.claim, worker = claim.worker, attempts = trial.attempts + 1,
          claimed_at = moment, lease_until = moment + candidate.lease, deadline_at = moment + candidate.timeout
      from next
      where trial.study_id = next.study_id and trial.number = next.number
      returning trial.* into taken;
      exit when found;
    end loop;
    if taken.number is null then
      return;
    end if;
    insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at)
    values (claim.claim, taken.study_id, taken.number, taken.attempts, claim.worker, moment);
  end if;
  return query select
    taken.study_id, candidate.name, taken.number, taken.attempts, taken.params, candidate.objective, candidate.seed,
    extract(epoch from candidate.lease)::float8, extract(epoch from candidate.heartbeat)::float8,
    extract(epoch from candidate.timeout)::float8;
end
$$;
