-- The views of a ledger at revision 0006 that name a score, without what they need of later.
create or replace view ledger.progress as
select
  study.name as study,
  study.state,
  case study.spec ->> 'mode'
    when 'steady' then least(study.iterations, trials.ended / study.points)
    else count(told.number)
  end as iterations_told,
  study.iterations,
  trials.complete,
  trials.running,
  trials.pending,
  trials.failed,
  trials.cancelled,
  trials.attempts,
  trials.best_loss,
  1 - trials.best_loss as best_accuracy,
  study.created_at,
  coalesce(study.finished_at, ledger.clock()) - study.created_at as elapsed,
  study.reason
from ledger.study
left join ledger.iteration as told on told.study_id = study.id and told.told_at is not null
cross join lateral (
  select
    count(*) filter (where trial.state = 'complete') as complete,
    count(*) filter (where trial.state = 'running') as running,
    count(*) filter (where trial.state = 'pending') as pending,
    count(*) filter (where trial.state = 'failed') as failed,
    count(*) filter (where trial.state = 'cancelled') as cancelled,
    count(*) filter (where trial.source = 'proposed' and trial.finished_at is not null) as ended,
    coalesce(sum(trial.attempts), 0) as attempts,
    min(trial.loss) as best_loss
  from ledger.trial
  where trial.study_id = study.id) as trials
group by study.id, trials.ended, trials.complete, trials.running, trials.pending, trials.failed, trials.cancelled,
  trials.attempts, trials.best_loss
order by study.created_at, study.id;
create or replace view ledger.best_trials as
select
  study.name as study,
  rank() over (partition by study.name order by trial.loss, trial.number) as rank,
  trial.number as trial,
  trial.iteration,
  trial.loss,
  -- an own objective may call anything its accuracy
  ledger.number(trial.metrics -> 'accuracy') as accuracy,
  trial.params,
  trial.metrics,
  trial.worker,
  trial.finished_at,
  trial.source
from ledger.trial
join ledger.study on study.id = trial.study_id
where trial.state = 'complete';
