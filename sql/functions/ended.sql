-- Return whether the study is complete, failed or cancelled. If the argument is null, return whether a study exists
-- and all studies have ended. A study that does not exist has not ended.
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
  'Whether the study has ended; with null, whether every study has ended and one exists.';
