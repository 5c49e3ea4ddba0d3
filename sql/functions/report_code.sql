-- If the ledger has no version of the code of a study's objective, record the code that a worker has loaded. The first
-- worker of a study calls this function if the study was created on a machine that did not load the objective. The
-- worker must hold a trial of the study. The answer is the number of the version that is valid now. The answer is null
-- if the worker does not hold the trial, or if another session keeps the new version locked. If the answer is null, the
-- worker calls the function again after the worker's next claim.
--   code: the code, as an object with the keys `sha256`, `parts`, `sources`, `git_commit`, `git_clean` and `versions`.
--   texts: the source texts of the code.
create or replace function ledger.report_code(study_id int, trial int, claim uuid, code jsonb, texts text[])
returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  objective jsonb;
begin
  select study.spec -> 'objective' into objective
  from ledger.trial join ledger.study on study.id = trial.study_id
  where trial.study_id = report_code.study_id and trial.number = report_code.trial and trial.claim = report_code.claim
    and trial.state = 'running';
  if not found then
    return null;
  end if;
  -- If the setting `record_source` is false, the ledger keeps only the hashes of the code.
  if objective ->> 'record_source' = 'false' then
    texts := '{}';
    code := jsonb_set(code, '{parts}', coalesce(
      (select jsonb_agg(part - 'shown') from jsonb_array_elements(code -> 'parts') as part), '[]'));
  end if;
  if ledger.current_code(report_code.study_id) is null then
    begin
      perform ledger.add_code(report_code.study_id, 0, 0, report_code.code, report_code.texts);
    exception when lock_not_available then
      return null;
    end;
  end if;
  return ledger.current_code(report_code.study_id);
end
$$;

comment on function ledger.report_code is
  'Record the code that a worker has loaded, if the ledger has no version of the study''s code. Answers the number of '
  'the version that is valid now, or null.';
