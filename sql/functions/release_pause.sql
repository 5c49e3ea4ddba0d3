-- Return the time for which a trial cannot be claimed after a release. The first releases cost no pause. After these,
-- the pause doubles with each release. Without the pause, a worker that claims and releases a trial in a loop would
-- add an attempt to the ledger in each round.
create or replace function ledger.release_pause(releases int) returns interval
language sql immutable parallel safe
return case
  when releases <= ledger.free_releases() then interval '0'
  else least(interval '1 second' * 2 ^ least(releases - ledger.free_releases() - 1, 30),
             ledger.longest_release_pause())
end;

comment on function ledger.release_pause is
  'The time for which a trial cannot be claimed after its last release. Internal.';
