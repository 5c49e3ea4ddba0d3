-- Convert a JSON value to a number, or to null. A jsonb value can be a number beyond the range of a double, and an
-- objective may report such a number. The function returns null for such a number, so that no view fails.
create or replace function ledger.number(value jsonb) returns double precision
language sql immutable parallel safe
return case
  when jsonb_typeof(value) = 'number' and abs(value::numeric) <= 1.7976931348623157e308
  then case when abs(value::numeric) < 2.5e-324 then 0 else value::numeric::double precision end
end;

comment on function ledger.number is
  'The number that a JSON value is; null where it is no number, or beyond the range of a double.';
