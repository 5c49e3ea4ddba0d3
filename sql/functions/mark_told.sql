-- Mark an iteration as told, which means that the optimizer has received the losses of the iteration. Also count the
-- trials of all iterations that are marked as told. The caller must hold a lock on the row of the study, and all trials
-- of the iteration must have ended.
-- The totals of an iteration include the trials of this iteration, and the trials of all iterations that were already
-- marked as told. Therefore a view reads the totals of a study from the row of the iteration that the ledger marked
-- last. The view counts only the trials of the iterations that are not marked as told. In steady mode, the manager may
-- mark the iterations as told in any order.
-- The array `improvements` contains a trial of the iteration if the trial meets two conditions. The loss of the trial
-- must be lower than the losses of the iteration's earlier trials. Of all earlier iterations with improvements, the
-- function chooses the latest iteration. The loss of the trial must also be lower than the best loss of the chosen
-- iteration. If a trial is better than all trials with a lower number, the array `improvements` contains the trial. In
-- batch mode, the array contains only trials that are better than all trials with a lower number. In steady mode, the
-- array can also contain trials that are no improvements, because the manager may mark a later iteration before an
-- earlier iteration.
--   mean_loss, best_loss: the mean loss and the lowest loss of the complete trials. The mean loss and the lowest loss
--     are null if no trial is complete.
create or replace function ledger.mark_told(
  study_id int, number int, moment timestamptz, mean_loss float8, best_loss float8)
returns void
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  place record;
  last record;
  own record;
  earlier float8;
  better int[];
begin
  select iteration.round, iteration.first_trial, iteration.first_trial + iteration.size as next_trial into place
  from ledger.iteration
  where iteration.study_id = mark_told.study_id and iteration.number = mark_told.number;
  select
    iteration.told, iteration.total_proposed, iteration.total_complete, iteration.total_pruned, iteration.total_failed,
    iteration.total_cancelled, iteration.total_attempts, iteration.total_failures, iteration.total_crashes,
    iteration.total_lost,
    iteration.last_complete
  into last
  from ledger.iteration
  where iteration.study_id = mark_told.study_id and iteration.told is not null
  order by iteration.told desc
  limit 1;
  select
    count(*) filter (where trial.source = 'proposed' and trial.round = place.round) as proposed,
    count(*) filter (where trial.state = 'complete') as complete,
    count(*) filter (where trial.state = 'pruned') as pruned,
    count(*) filter (where trial.state = 'failed') as failed,
    count(*) filter (where trial.state = 'cancelled') as cancelled,
    coalesce(sum(trial.attempts), 0) as attempts,
    coalesce(sum(trial.failures), 0) as failures,
    coalesce(sum(trial.crashes), 0) as crashes,
    coalesce(sum(trial.lost), 0) as lost,
    max(trial.number) filter (where trial.state = 'complete') as last_complete,
    min(trial.loss) as lowest
  into own
  from ledger.trial
  where trial.study_id = mark_told.study_id
    and trial.number >= place.first_trial and trial.number < place.next_trial;
  earlier := (
    select iteration.best_loss
    from ledger.iteration
    where iteration.study_id = mark_told.study_id and iteration.number < mark_told.number
      and iteration.improvements is not null
    order by iteration.number desc
    limit 1);
  if own.lowest < coalesce(earlier, 'infinity') then
    better := array(
      select compared.number
      from (
        select
          trial.number, trial.loss,
          min(trial.loss) over (order by trial.number rows between unbounded preceding and 1 preceding) as lowest
        from ledger.trial
        where trial.study_id = mark_told.study_id
          and trial.number >= place.first_trial and trial.number < place.next_trial) as compared
      where compared.loss < coalesce(least(compared.lowest, earlier), 'infinity')
      order by compared.number);
  end if;
  update ledger.iteration
  set told_at = moment, mean_loss = mark_told.mean_loss, best_loss = mark_told.best_loss,
      told = coalesce(last.told, 0) + 1,
      total_proposed = coalesce(last.total_proposed, 0) + own.proposed,
      total_complete = coalesce(last.total_complete, 0) + own.complete,
      total_pruned = coalesce(last.total_pruned, 0) + own.pruned,
      total_failed = coalesce(last.total_failed, 0) + own.failed,
      total_cancelled = coalesce(last.total_cancelled, 0) + own.cancelled,
      total_attempts = coalesce(last.total_attempts, 0) + own.attempts,
      total_failures = coalesce(last.total_failures, 0) + own.failures,
      total_crashes = coalesce(last.total_crashes, 0) + own.crashes,
      total_lost = coalesce(last.total_lost, 0) + own.lost,
      last_complete = greatest(last.last_complete, own.last_complete),
      improvements = better
  where iteration.study_id = mark_told.study_id and iteration.number = mark_told.number;
end
$$;

comment on function ledger.mark_told is
  'Mark an iteration as told, and count the trials of all told iterations. The caller holds the study''s row. Internal.';
