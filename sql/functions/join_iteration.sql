-- Make room for trials that nobody proposed: retried, enqueued or imported ones. They join the study's last iteration
-- while that is not told yet; else they get one of their own, for which the budget grows by one. In steady mode they
-- always get one of their own, and the budget, which counts what is proposed, stays. Called by functions that hold the
-- study's row, and by nobody else.
--   joined, joined_round  where the trials are to be put
--   is_own                whether the iteration is made for them
create or replace function ledger.join_iteration(
  study_id int, trials int, moment timestamptz, out joined int, out joined_round int, out is_own boolean)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  is_steady boolean;
begin
  select coalesce(study.spec ->> 'mode' = 'steady', false) into is_steady
  from ledger.study where study.id = join_iteration.study_id;
  update ledger.iteration set size = iteration.size + join_iteration.trials
  where iteration.study_id = join_iteration.study_id and iteration.told_at is null and not is_steady
    and iteration.number = (
      select max(last.number) from ledger.iteration as last where last.study_id = join_iteration.study_id)
  returning iteration.number, iteration.round into joined, joined_round;
  is_own := not found;
  if is_own then
    insert into ledger.iteration (study_id, number, round, size, asked_at, ask_seconds, tell_seconds, environment, seen)
    select
      join_iteration.study_id, coalesce(max(iteration.number) + 1, 0), 0, join_iteration.trials,
      join_iteration.moment, 0, 0, '{}', case when is_steady then '{}'::int[] end
    from ledger.iteration
    where iteration.study_id = join_iteration.study_id
    returning iteration.number, iteration.round into joined, joined_round;
    if not is_steady then
      update ledger.study set iterations = study.iterations + 1 where study.id = join_iteration.study_id;
    end if;
  end if;
end
$$;

comment on function ledger.join_iteration is
  'Make room for trials that nobody proposed: in the last iteration, or in one of their own. Called by other functions.';
