-- Return how much larger a loss is than a lower loss. The difference of two finite doubles can exceed the range of a
-- double. The function returns infinity for such a difference, so that no view fails. Two losses of the same sign have
-- no such difference.
create or replace function ledger.difference(loss double precision, lowest double precision) returns double precision
language sql immutable parallel safe
return case
  when loss <= 0 or lowest >= 0 then loss - lowest
  when lowest < loss - 1.79e308 then 'infinity'
  else loss - lowest
end;

comment on function ledger.difference is
  'The difference of a loss and a lower loss; infinity where it is beyond the range of a double.';
