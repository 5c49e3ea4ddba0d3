-- Return an error that is short enough for the ledger. A longer error loses its middle, because its head says where it
-- began and its last line is its summary. The function shortened of ledger/database/bounds.py does the same.
create or replace function ledger.shortened(error text) returns text
language sql stable parallel safe
return case
  when length(error) <= ledger.longest_error() then error
  else left(error, ledger.longest_error() / 2 - 50)
    || E'\n[' || length(error) - 2 * (ledger.longest_error() / 2 - 50) || E' characters are left out here]\n'
    || right(error, ledger.longest_error() / 2 - 50)
end;

comment on function ledger.shortened is
  'An error without its middle, if it is too long. Internal.';
