-- For each study, the view counts the trials and the attempts. When the optimizer receives the losses of an iteration,
-- the ledger marks the iteration as told. When the ledger marks an iteration as told, the ledger writes totals into the
-- iteration's row. The totals include the trials of this iteration, and the trials of all iterations that were already
-- marked as told. Therefore the view counts only the trials of the iterations that are not marked as told. The duration
-- of a query on this view does not grow with the number of ended trials.
create or replace view ledger.counts as
select
  study.id as study_id,
  study.name as study,
  coalesce(told.told, 0) as iterations_told,
  coalesce(told.total_proposed, 0) + untold.proposed as proposed,
  coalesce(told.total_proposed, 0) + untold.ended as ended,
  coalesce(told.total_complete, 0) + untold.complete as complete,
  untold.running,
  untold.pending,
  coalesce(told.total_failed, 0) + untold.failed as failed,
  coalesce(told.total_cancelled, 0) + untold.cancelled as cancelled,
  coalesce(told.total_attempts, 0) + untold.attempts as attempts,
  coalesce(told.total_failures, 0) + untold.failures as failures,
  coalesce(told.total_crashes, 0) + untold.crashes as crashes,
  coalesce(told.total_lost, 0) + untold.lost as lost,
  greatest(told.last_complete, untold.last_complete) as last_complete,
  coalesce(told.total_pruned, 0) + untold.pruned as pruned,
  untold.paused
from ledger.study
left join lateral (
  select iteration.*
  from ledger.iteration
  where iteration.study_id = study.id and iteration.told is not null
  order by iteration.told desc
  limit 1) as told on true
cross join lateral (
  select
    count(*) filter (where trial.source = 'proposed' and trial.round = iteration.round) as proposed,
    count(*) filter (
      where trial.source = 'proposed' and trial.round = iteration.round and trial.finished_at is not null) as ended,
    count(*) filter (where trial.state = 'complete') as complete,
    count(*) filter (where trial.state = 'running') as running,
    count(*) filter (where trial.state = 'pending') as pending,
    count(*) filter (where trial.state = 'paused') as paused,
    count(*) filter (where trial.state = 'pruned') as pruned,
    count(*) filter (where trial.state = 'failed') as failed,
    count(*) filter (where trial.state = 'cancelled') as cancelled,
    coalesce(sum(trial.attempts), 0) as attempts,
    coalesce(sum(trial.failures), 0) as failures,
    coalesce(sum(trial.crashes), 0) as crashes,
    coalesce(sum(trial.lost), 0) as lost,
    max(trial.number) filter (where trial.state = 'complete') as last_complete
  from ledger.iteration
  cross join lateral (
    select trial.*
    from ledger.trial
    where trial.study_id = iteration.study_id and trial.number >= iteration.first_trial
      and trial.number < iteration.first_trial + iteration.size
    -- Without the clause "offset 0", the planner could read all trials of the study.
    offset 0) as trial
  where iteration.study_id = study.id and iteration.told is null) as untold;

comment on view ledger.counts is
  'The numbers of trials and attempts of each study; one row for each study.';
comment on column ledger.counts.study_id is 'Number of the study, by which other tables refer to the study.';
comment on column ledger.counts.study is 'Name of the study.';
comment on column ledger.counts.iterations_told is
  'Number of iterations that are marked as told: all their trials have ended, and the optimizer knows the losses.';
comment on column ledger.counts.proposed is 'Number of proposed trials, without the trials of replaced rounds.';
comment on column ledger.counts.ended is 'Number of these proposed trials that have ended.';
comment on column ledger.counts.complete is 'Trials with a loss.';
comment on column ledger.counts.running is 'Trials that a worker holds now.';
comment on column ledger.counts.pending is 'Trials that wait for a worker.';
comment on column ledger.counts.pruned is 'Trials that the rule of early stopping ended, and imported trials that were pruned.';
comment on column ledger.counts.paused is 'Trials that wait at a rung until the manager promotes or prunes them.';
comment on column ledger.counts.failed is 'Trials that reached the limit of failures, of crashes or of lost attempts.';
comment on column ledger.counts.cancelled is 'Trials that were cancelled.';
comment on column ledger.counts.attempts is 'Number of claims of the study''s trials, including released claims.';
comment on column ledger.counts.failures is 'Number of attempts that failed or exceeded the time limit.';
comment on column ledger.counts.crashes is 'Number of attempts that crashed.';
comment on column ledger.counts.lost is 'Number of times that a trial was lost with its worker.';
comment on column ledger.counts.last_complete is
  'Highest number of a complete trial; null if no trial is complete.';
