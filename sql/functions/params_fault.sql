-- Compare the names of a trial's parameters with the names in the search space. If the names differ, return a
-- description of the fault. If the names are equal, return null. The function does not compare the values with the
-- dimensions of the space.
--   spec: the definition of a study as JSON. In the definition, the key `space` contains a list of dimensions.
create or replace function ledger.params_fault(spec jsonb, params jsonb) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return case
  when jsonb_typeof(spec -> 'space') is distinct from 'array' then null
  when jsonb_typeof(params) is distinct from 'object' then 'the parameters are not an object'
  when array(select jsonb_object_keys(params) order by 1)
    <> array(select dimension ->> 'name' from jsonb_array_elements(spec -> 'space') as dimension order by 1)
  then 'the parameters do not have the names of the search space'
end;

comment on function ledger.params_fault is
  'The fault of the names of a trial''s parameters, or null. Internal.';
