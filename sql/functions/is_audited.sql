-- Whether a trial belongs to the share of trials that are never stopped early. The Python function
-- ledger.study.verdicts.is_audited computes the same result.
create or replace function ledger.is_audited(seed bigint, trial int, share float8) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
  select ('x' || left(encode(sha256(convert_to(format('audit %s %s', seed, trial), 'UTF8')), 'hex'), 8))::bit(32)::bigint
         < share * 4294967296
$$;

comment on function ledger.is_audited is
  'Whether a trial belongs to the share of trials that are never stopped early.';
