-- Return the number for the next trial of a study. The caller of the function must hold a lock on the row of the study,
-- so that no two trials get the same number.
create or replace function ledger.next_trial(study_id int) returns int
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return (select coalesce(max(trial.number) + 1, 0) from ledger.trial where trial.study_id = next_trial.study_id);
end
$$;

comment on function ledger.next_trial is
  'The number of a study''s next trial. The caller holds the study''s row. Internal.';
