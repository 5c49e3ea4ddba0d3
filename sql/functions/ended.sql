-- Return whether the study is complete, failed or cancelled. If the argument `study` is null, return whether at least
-- one study exists and all studies have ended. If no study has the given name, the answer is false.
create or replace function ledger.ended(study text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  return coalesce((
    select bool_and(state in ('complete', 'failed', 'cancelled'))
    from ledger.study
    where ended.study is null or name = ended.study), false);
end
$$;

comment on function ledger.ended is
  'Whether the study has ended. If study is null, whether at least one study exists and all studies have ended.';
