-- Return the length of the pause after a release of a trial. During the pause, no worker can claim the trial. The first
-- ledger.free_releases() releases of a trial cause no pause. Each further release of the trial doubles the pause.
-- Without the pause, a worker that claims and releases a trial in a loop would quickly add many attempts to the ledger.
create or replace function ledger.release_pause(releases int) returns interval
language sql immutable parallel safe
return case
  when releases <= ledger.free_releases() then interval '0'
  else least(interval '1 second' * 2 ^ least(releases - ledger.free_releases() - 1, 30),
             ledger.longest_release_pause())
end;

comment on function ledger.release_pause is
  'The time for which no worker can claim a trial after the trial''s last release. Internal.';

-- The number of times that workers have released a trial. The function subtracts the failed, crashed, lost and paused
-- attempts from all attempts of the trial, because each other attempt was released.
create or replace function ledger.releases(known ledger.trial) returns int
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select known.attempts - known.failures - known.crashes - known.lost - (
    select count(*)::int from ledger.attempt
    where attempt.study_id = known.study_id and attempt.trial = known.number and attempt.outcome = 'paused')
$$;

comment on function ledger.releases is
  'The number of times that workers have released a trial. Internal.';

-- Whether a worker can claim a pending trial at the given time. ledger.claim contains the same condition.
create or replace function ledger.is_claimable(known ledger.trial, moment timestamptz) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select known.available_at <= moment
         or known.available_at - ledger.release_pause(ledger.releases(known)) > moment
$$;

comment on function ledger.is_claimable is
  'Whether a worker can claim a pending trial at the given time. Internal.';
