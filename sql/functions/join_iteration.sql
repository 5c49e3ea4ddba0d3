-- Find or create an iteration for retried, enqueued or imported trials. The trials join the study's last iteration if
-- the optimizer has not yet received the results of the last iteration. If the trials cannot join the last iteration,
-- the function creates a new iteration for the trials. An iteration of steady mode contains the trials of a single
-- proposal, so no other trial can join an iteration of steady mode. In the table ledger.iteration, only an iteration of
-- steady mode has a value in the column `seen`. The caller of the function must hold a lock on the row of the study.
--   joined, joined_round: the number of the iteration that the trials join, and the number of the round that the trials
--     join.
--   is_own: whether the function created a new iteration for the trials.
create or replace function ledger.join_iteration(
  study_id int, trials int, moment timestamptz, out joined int, out joined_round int, out is_own boolean)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  next_number int := ledger.next_trial(join_iteration.study_id);
begin
  update ledger.iteration set size = iteration.size + join_iteration.trials
  where iteration.study_id = join_iteration.study_id and iteration.told_at is null and iteration.seen is null
    and iteration.number = (
      select max(last.number) from ledger.iteration as last where last.study_id = join_iteration.study_id)
    -- The trials of an iteration have consecutive numbers.
    and iteration.first_trial + iteration.size = next_number
  returning iteration.number, iteration.round into joined, joined_round;
  is_own := not found;
  if is_own then
    insert into ledger.iteration
      (study_id, number, first_trial, round, size, asked_at, ask_seconds, tell_seconds, environment)
    select
      join_iteration.study_id, coalesce(max(iteration.number) + 1, 0), next_number, 0, join_iteration.trials,
      join_iteration.moment, 0, 0, '{}'
    from ledger.iteration
    where iteration.study_id = join_iteration.study_id
    returning iteration.number, iteration.round into joined, joined_round;
    perform ledger.set_cutoffs(join_iteration.study_id, joined, next_number);
  end if;
end
$$;

comment on function ledger.join_iteration is
  'Find or create an iteration for retried, enqueued or imported trials. Internal.';
