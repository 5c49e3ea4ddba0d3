-- Convert a JSON value to a double. If the value is not a number, the function returns null. An objective may return a
-- number beyond the range of a double. The type jsonb can store a number beyond the range of a double. If a number is
-- beyond the range of a double, the function returns null, so that no view fails.
create or replace function ledger.number(value jsonb) returns double precision
language sql immutable parallel safe
return case
  when jsonb_typeof(value) = 'number' and abs(value::numeric) <= 1.7976931348623157e308
  then case when abs(value::numeric) < 2.5e-324 then 0 else value::numeric::double precision end
end;

comment on function ledger.number is
  'A JSON value as a double. Null if the value is not a number, or is beyond the range of a double.';
