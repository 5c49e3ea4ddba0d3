-- Return the end of an attempt's output, or null if the output is empty. A worker sends at most ledger.longest_output()
-- bytes of an attempt's output.
create or replace function ledger.kept_output(output text) returns text
language sql immutable parallel safe
return nullif(right(output, ledger.longest_output()), '');

comment on function ledger.kept_output is
  'The end of an attempt''s output, which the ledger keeps. Null if the output is empty.';
