-- Return whether a lease has ended. A lease also counts as ended if its end is in the future by more than twice the
-- length of the lease. If the end of a lease is too far in the future, the holder last renewed the lease before the
-- database's clock was set back. If a lease with an end too far in the future were valid, a dead worker would keep its
-- claim until the clock reaches the end of the lease again. The function accepts an end that is at most twice the
-- length of the lease in the future, so that a small correction of the clock does not end a lease.
create or replace function ledger.lease_ended(lease_until timestamptz, lease interval, moment timestamptz)
returns boolean
language sql stable parallel safe
return lease_until < moment or lease_until > moment + 2 * lease;

comment on function ledger.lease_ended is
  'Whether a lease has ended, or was given before the database''s clock was set back by more than one lease.';
