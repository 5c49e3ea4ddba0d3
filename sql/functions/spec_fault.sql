-- Describe what is wrong with those parts of a study's spec that the generated columns and the views read. Return null
-- if these parts are readable. The caller of ledger.create_study checks the rest of the spec.
create or replace function ledger.spec_fault(spec jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(spec) is distinct from 'object' or jsonb_typeof(spec -> 'objective') is distinct from 'object'
     or jsonb_typeof(spec -> 'limits') is distinct from 'object'
     or jsonb_typeof(spec -> 'space') is distinct from 'array' then
    return 'the spec: it is not an object with the objects objective and limits and the array space';
  end if;
  if jsonb_path_exists(spec -> 'limits', 'strict $.* ? ((@.type() != "number" && @.type() != "null") || @ < 0 || @ > $longest)',
                       jsonb_build_object('longest', ledger.longest_seconds())) then
    return format('the spec: a limit is not a number from 0 to %s', ledger.longest_seconds());
  end if;
  if exists (
    select from jsonb_array_elements(spec -> 'space') as dimension
    where not coalesce(
      jsonb_typeof(dimension -> 'name') = 'string' and length(dimension ->> 'name') <= ledger.longest_name()
      and case dimension ->> 'type'
        when 'categorical' then jsonb_typeof(dimension -> 'choices') = 'array'
        when 'real' then ledger.number(dimension -> 'low') < ledger.number(dimension -> 'high')
        when 'integer' then ledger.number(dimension -> 'low') < ledger.number(dimension -> 'high')
      end
      and (dimension ->> 'prior' is distinct from 'log-uniform' or ledger.number(dimension -> 'low') > 0), false)) then
    return 'the spec: a dimension of the space has no name, no known type, no choices or no range';
  end if;
  return null;
end
$$;

comment on function ledger.spec_fault is
  'What is wrong with those parts of a study''s spec that the views read. Null: nothing. Internal.';
