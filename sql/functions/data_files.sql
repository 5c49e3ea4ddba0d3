-- Return the SHA-256, in hexadecimal, of each data file of a study. A study may have a file with the training rows, and
-- a hold-out file with the rows for scoring.
--   spec: the definition of the study as JSON.
create or replace function ledger.data_files(spec jsonb) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp
return array_remove(array[spec #>> '{objective,data,sha256}', spec #>> '{objective,data,holdout,sha256}'], null);

comment on function ledger.data_files is
  'The SHA-256 of each data file on which the study with this spec trains.';
