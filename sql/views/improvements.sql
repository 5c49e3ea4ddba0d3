-- All improvements. An improvement is a trial that is better than all trials with a lower number in the same study.
-- When the optimizer has received the losses of an iteration, the row of the iteration contains the numbers of the
-- iteration's improvements (ledger.mark_told). Therefore the view reads only the recorded improvements, and the trials
-- of the iterations whose losses the optimizer has not received.
create or replace view ledger.improvements as
select study_id, study, trial, iteration, loss, value
from (
  select
    study_id, study, trial, iteration, loss, value,
    min(loss) over (
      partition by study_id, study order by trial rows between unbounded preceding and 1 preceding) as lowest
  from (
    select
      study.id as study_id, study.name as study, trial.number as trial, trial.iteration, trial.loss,
      ledger.trial_value(trial.loss, study.direction, study.loss_of_zero, trial.metrics, study.metric) as value
    from ledger.study
    join ledger.iteration on iteration.study_id = study.id
    cross join unnest(iteration.improvements) as improvement (number)
    join ledger.trial on trial.study_id = study.id and trial.number = improvement.number
    where iteration.improvements is not null and trial.loss is not null
    union all
    select
      study.id, study.name, trial.number, trial.iteration, trial.loss,
      ledger.trial_value(trial.loss, study.direction, study.loss_of_zero, trial.metrics, study.metric)
    from ledger.study
    join ledger.iteration on iteration.study_id = study.id
    cross join lateral (
      -- An improvement must be better than all earlier trials of its iteration. The index returns the trials of an
      -- iteration in the order of the trials' numbers. The subquery filters the trials, so that PostgreSQL does not
      -- have to sort all trials of a large iteration.
      select local.*
      from (
        select trial.number, trial.iteration, trial.loss, trial.metrics,
          min(trial.loss) over (order by trial.number rows between unbounded preceding and 1 preceding) as lowest
        from ledger.trial
        where trial.study_id = iteration.study_id and trial.number >= iteration.first_trial
          and trial.number < iteration.first_trial + iteration.size) as local
      where local.loss < coalesce(local.lowest, 'infinity')
      -- Without the clause "offset 0", the planner could read all trials of the study.
      offset 0) as trial
    where iteration.told is null) as candidate) as compared
where lowest is null or loss < lowest;

comment on view ledger.improvements is
  'The trials whose loss is lower, and so whose value is better, than those of all trials with a lower number.';
comment on column ledger.improvements.study_id is
  'Number of the study, by which other tables refer to the study.';
comment on column ledger.improvements.study is 'Name of the study.';
comment on column ledger.improvements.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.improvements.iteration is 'Number of the iteration that the trial belongs to, from 0.';
comment on column ledger.improvements.loss is 'The loss of this trial, finite.';
comment on column ledger.improvements.value is
  'The value of this trial, such as the score of a built-in model.';
