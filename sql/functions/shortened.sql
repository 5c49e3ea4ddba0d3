-- Shorten the text of an error to the maximum length that the ledger accepts, and return the result. If the text is too
-- long, the function removes the middle of the text. The function keeps both ends of a traceback, because the beginning
-- shows the place of the error, and the last line is a summary. The Python function `shortened` in
-- ledger/database/bounds.py shortens an error in the same way.
create or replace function ledger.shortened(error text) returns text
language sql stable parallel safe
return case
  when length(error) <= ledger.longest_error() then error
  else left(error, ledger.longest_error() / 2 - 50)
    || E'\n[' || length(error) - 2 * (ledger.longest_error() / 2 - 50) || E' characters are left out here]\n'
    || right(error, ledger.longest_error() / 2 - 50)
end;

comment on function ledger.shortened is
  'An error, without its middle if the error is too long. Internal.';
