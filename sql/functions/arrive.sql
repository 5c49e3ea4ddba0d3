-- In steady mode, assign a number to the arrival of a trial at a rung, compare the trial with the earlier arrivals, and
-- record the verdict. With the rule `promotion`, the trial goes on if the trial is among the best 1/eta of all arrivals
-- (ledger.promotion_cutoff). The arrivals include the arrival of the trial itself. The answer is the recorded verdict.
-- Two transactions cannot insert the same number at a rung. Therefore each arrival at the rung gets a different number.
-- If another transaction is inserting the same number, this transaction waits for the other transaction, and then tries
-- the next number. A worker can leave its transaction open. If the other transaction is still open after half a second,
-- the function records nothing, and the column `stops` of the answer is null.
--   stopping: the object `stopping` of the study's spec.
--   arriving: the verdict without the columns that this function computes.
create or replace function ledger.arrive(stopping jsonb, arriving ledger.verdict) returns ledger.verdict
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
declare
  eta int := (stopping ->> 'eta')::int;
  losses float8[];
  numbers int[];
  limiting record;
begin
  loop
    select coalesce(array_agg(verdict.loss), '{}'), coalesce(array_agg(verdict.trial), '{}') into losses, numbers
    from ledger.verdict
    where verdict.study_id = arriving.study_id and verdict.rung = arriving.rung;
    arriving.compared := cardinality(losses);
    arriving.arrival := arriving.compared + 1;
    if stopping ->> 'rule' = 'promotion' then
      select best.loss, best.trial into limiting
      from ledger.promotion_cutoff(
        eta, array_append(losses, arriving.loss), array_append(numbers, arriving.trial)) as best;
      arriving.cutoff := limiting.loss;
      arriving.stops := not ledger.goes_on(arriving.loss, arriving.trial, limiting.loss, limiting.trial);
    else
      arriving.cutoff := nullif(ledger.rung_cutoff(stopping ->> 'rule', eta, losses), 'infinity');
      arriving.stops := ledger.is_stopped(eta, arriving.compared, arriving.loss, arriving.cutoff);
    end if;
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
