-- In steady mode, assign a number to the arrival of a trial at a rung, compare the trial with the earlier arrivals, and
-- record the verdict. The answer is the recorded verdict. Each arrival gets its own number, because two transactions
-- cannot insert the same number. If another transaction is inserting the same number, this transaction waits for the
-- other transaction, and then tries the next number. A worker can leave its transaction open. Therefore the wait ends
-- after half a second. If the wait has ended without success, the function records nothing, and the column `stops` of
-- the answer is null.
--   stopping: the object `stopping` of the study's spec.
--   arriving: the verdict without the columns that this function computes.
create or replace function ledger.arrive(stopping jsonb, arriving ledger.verdict) returns ledger.verdict
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
declare
  losses float8[];
begin
  loop
    losses := array(
      select verdict.loss from ledger.verdict
      where verdict.study_id = arriving.study_id and verdict.rung = arriving.rung);
    arriving.compared := cardinality(losses);
    arriving.arrival := arriving.compared + 1;
    arriving.cutoff := nullif(
      ledger.rung_cutoff(stopping ->> 'rule', (stopping ->> 'eta')::int, losses), 'infinity');
    arriving.stops := ledger.is_stopped(
      (stopping ->> 'eta')::int, arriving.compared, arriving.loss, arriving.cutoff);
    insert into ledger.verdict values (arriving.*) on conflict do nothing;
    exit when found;
  end loop;
  return arriving;
exception when lock_not_available then
  arriving.stops := null;
  return arriving;
end
$$;

comment on function ledger.arrive is
  'In steady mode, number the arrival of a trial at a rung, and record the verdict. Internal.';
