-- Return the difference between a loss and a lower loss. The difference between two finite doubles can exceed the range
-- of a double. If the difference exceeds the range of a double, the function returns infinity, so that no view fails.
-- If both losses have the same sign, the difference between the losses is in the range of a double.
create or replace function ledger.difference(loss double precision, lowest double precision) returns double precision
language sql immutable parallel safe
return case
  when loss <= 0 or lowest >= 0 then loss - lowest
  when lowest < loss - 1.79e308 then 'infinity'
  else loss - lowest
end;

comment on function ledger.difference is
  'The difference between a loss and a lower loss. Infinity if the difference is beyond the range of a double.';
