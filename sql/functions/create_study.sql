-- Record a new study with the state running. The answer is the id of the study, or null if a study with this name
-- exists.
--   spec: the complete definition of the study as JSON.
--   budget: the number of trials that the optimizer may propose.
create or replace function ledger.create_study(name text, spec jsonb, spec_hash text, budget int, versions jsonb)
returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  made int;
begin
  insert into ledger.study (name, spec, spec_hash, budget, state, created_at, versions)
  values (create_study.name, create_study.spec, create_study.spec_hash, create_study.budget, 'running',
          ledger.clock(), create_study.versions)
  on conflict (name) do nothing
  returning id into made;
  return made;
end
$$;

comment on function ledger.create_study is
  'Record a study in the state running. Answers the id of the study, or null if another study has this name.';
