-- Return the revision of the schema. Every role may call this function. A program compares the revision of the schema
-- with the revision that the program needs.
create or replace function ledger.revision() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as 'select version_num from ledger.alembic_version';

comment on function ledger.revision is
  'The revision of the schema.';
