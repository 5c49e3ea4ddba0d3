-- Return the last 65,536 characters of an attempt's output, or null if the output is empty. The end of an output says
-- more about a failure than its beginning. A worker sends at most as many bytes.
create or replace function ledger.kept_output(output text) returns text
language sql immutable parallel safe
return nullif(right(output, 65536), '');

comment on function ledger.kept_output is
  'The end of an output, as it is kept with an attempt; null without an output.';
