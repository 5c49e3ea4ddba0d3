-- Notify the sessions that listen on a channel. A notification is not necessary, because workers and managers also
-- poll. A notification only shortens the time for which a worker or a manager waits before its next poll. While a
-- listening session has an open transaction, PostgreSQL keeps all later notifications in the server's queue. If the
-- server's queue of notifications is full, a transaction that sends a notification cannot commit. Therefore the
-- function sends nothing while the server's queue of notifications is at least half full.
create or replace function ledger.notify(channel text, payload text default '') returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_notification_queue_usage() < 0.5 then
    perform pg_notify(channel, payload);
  end if;
end
$$;

comment on function ledger.notify is
  'Notify the sessions that listen on a channel, unless the server''s queue of notifications is half full.';
