-- Record a new study with the state `running`. The answer is the id of the new study, or null if a study with the same
-- name exists.
--   spec: the complete definition of the study as JSON.
--   budget: the number of trials that the optimizer may propose.
--   target, patience, timeout_seconds: the stopping criteria (ledger.criterion_met). Each criterion may be null.
create or replace function ledger.create_study(
  name text, spec jsonb, spec_hash text, budget int, versions jsonb, target double precision default null,
  patience int default null, timeout_seconds double precision default null)
returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  made int;
begin
  insert into ledger.study
    (name, spec, spec_hash, budget, state, created_at, versions, target, patience, timeout_seconds)
  values (create_study.name, create_study.spec, create_study.spec_hash, create_study.budget, 'running',
          ledger.clock(), create_study.versions, create_study.target, create_study.patience,
          create_study.timeout_seconds)
  on conflict (name) do nothing
  returning id into made;
  return made;
end
$$;

comment on function ledger.create_study is
  'Record a study in the state running. Answers the id of the study, or null if another study has this name.';
