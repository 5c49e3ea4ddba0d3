-- One row for each study, with its progress and its best result. The budget is the number of trials that the optimizer
-- may propose. If every trial of a round fails, the next round of the iteration replaces the failed round. The columns
-- `proposed` and `ended` do not include the trials of a replaced round.
create or replace view ledger.progress as
select
  study.name as study,
  study.state,
  study.budget,
  trials.proposed,
  least(trials.ended, study.budget) as ended,
  trials.iterations_told,
  trials.complete,
  trials.running,
  trials.pending,
  trials.failed,
  trials.cancelled,
  trials.attempts,
  best.loss as best_loss,
  best.value as best_value,
  best.score as best_score,
  study.created_at,
  -- The function `greatest` prevents a negative elapsed time if the database's clock was set back after the creation of
  -- the study.
  greatest(coalesce(study.finished_at, ledger.clock()) - study.created_at, interval '0') as elapsed,
  study.reason,
  best.metric,
  study.direction,
  study.target,
  study.patience,
  study.timeout_seconds,
  study.stopped_by,
  study.archived_at,
  coalesce(annotation.tags, '{}') as tags,
  trials.pruned,
  trials.paused
from ledger.study
left join ledger.study_annotation as annotation on annotation.study_id = study.id
join ledger.counts as trials on trials.study_id = study.id
left join lateral (
  select
    trial.loss,
    scored.metric,
    ledger.number(trial.metrics -> scored.metric) as score,
    ledger.trial_value(trial.loss, study.direction, study.loss_of_zero, trial.metrics, study.metric) as value
  from ledger.trial
  cross join lateral (select case when trial.metrics ? study.metric then study.metric end as metric) as scored
  where trial.study_id = study.id and trial.state = 'complete'
  order by trial.loss, trial.number
  limit 1) as best on true
order by study.created_at, study.id;

comment on view ledger.progress is
  'The progress and the best result of each study; one row for each study, the oldest first.';
comment on column ledger.progress.study is 'Name of the study.';
comment on column ledger.progress.state is
  'running, paused, complete, failed or cancelled; a study in one of the last three states has ended.';
comment on column ledger.progress.budget is 'The number of trials that the optimizer may propose.';
comment on column ledger.progress.proposed is 'Number of proposed trials, without the trials of replaced rounds.';
comment on column ledger.progress.ended is 'Number of these proposed trials that have ended, at most the budget.';
comment on column ledger.progress.iterations_told is
  'Number of iterations that are marked as told: all their trials have ended, and the optimizer knows the losses.';
comment on column ledger.progress.complete is 'Trials with a loss.';
comment on column ledger.progress.running is 'Trials that a worker holds now.';
comment on column ledger.progress.pending is 'Trials that wait for a worker.';
comment on column ledger.progress.pruned is 'Trials that the rule of early stopping ended, and imported trials that were pruned.';
comment on column ledger.progress.paused is 'Trials that wait at a rung until the manager promotes or prunes them.';
comment on column ledger.progress.failed is 'Trials that reached the limit of failures, of crashes or of lost attempts.';
comment on column ledger.progress.cancelled is 'Trials that were cancelled.';
comment on column ledger.progress.attempts is 'Number of claims of the study''s trials, including released claims.';
comment on column ledger.progress.best_loss is 'The lowest loss of the study; null if no trial is complete.';
comment on column ledger.progress.best_value is
  'The best value of the study: the lowest or the highest value, as the direction says; null if no trial is complete.';
comment on column ledger.progress.direction is
  'minimize or maximize: whether the lowest or the highest value is best.';
comment on column ledger.progress.target is 'Value at which the study ends; null without a target.';
comment on column ledger.progress.patience is
  'Number of trials without a better value after which the study ends; null without a limit.';
comment on column ledger.progress.timeout_seconds is
  'Timeout: total seconds for which managers may hold the study; null if the study has no timeout.';
comment on column ledger.progress.stopped_by is
  'Criterion that ended the study before its budget was used: target, patience or timeout; null otherwise.';
comment on column ledger.progress.best_score is
  'Value of the study''s metric in the trial with the lowest loss. For a model or an estimator, the loss follows from '
  'this value.';
comment on column ledger.progress.metric is
  'Name of the study''s metric, accuracy by default; null if the trial with the lowest loss has no such metric.';
comment on column ledger.progress.created_at is 'Time when the study was created.';
comment on column ledger.progress.elapsed is
  'Time from the creation of the study to its end or to now, including pauses.';
comment on column ledger.progress.reason is 'Reason for the state; null if none is recorded.';
comment on column ledger.progress.archived_at is
  'Time when the study was archived; null unless the study is archived.';
comment on column ledger.progress.tags is 'Tags of the study in alphabetical order.';
