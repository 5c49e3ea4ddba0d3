-- For each trial, the view shows the time in the queue, the time with a worker, and the time in training. The time in
-- training is a part of the time with a worker. After a worker has released a trial, the trial is in the queue again.
-- The time in the queue includes the time in which the trial is paused at a rung.
-- When a trial returns to the queue, ledger.trial no longer contains the time at which the trial first entered the
-- queue. If a trial of an iteration's first round has returned to the queue, the column `began_at` contains the time at
-- which the manager proposed the iteration. If a trial of a later round has returned to the queue, the column
-- `began_at` is null.
create or replace view ledger.trial_times as
select
  study,
  trial,
  iteration,
  state,
  attempts,
  began_at,
  ended_at as finished_at,
  extract(epoch from greatest(age - held, interval '0'))::float8 as queue_seconds,
  extract(epoch from held)::float8 as claimed_seconds,
  training_seconds,
  extract(epoch from age)::float8 as total_seconds
from (
  select
    study.name as study,
    trial.number as trial,
    trial.iteration,
    trial.state,
    trial.attempts,
    times.began_at,
    trial.finished_at as ended_at,
    greatest(coalesce(trial.finished_at, ledger.clock()) - times.began_at, interval '0') as age,
    -- If the result of an attempt is late, the attempt can end after the trial has ended, or while another worker holds
    -- the trial.
    (select coalesce(sum(upper(span) - lower(span)), interval '0')
     from unnest(work.held * tstzmultirange(tstzrange(null, trial.finished_at))) as span) as held,
    work.training_seconds
  from ledger.trial
  join ledger.study on study.id = trial.study_id
  join ledger.iteration on iteration.study_id = trial.study_id and iteration.number = trial.iteration
  cross join lateral (
    select
      min(attempt.claimed_at) as claimed_at,
      coalesce(sum(attempt.seconds), 0) as training_seconds,
      coalesce(range_agg(tstzrange(
        attempt.claimed_at, greatest(attempt.claimed_at, coalesce(attempt.ended_at, ledger.clock())))), '{}') as held
    from ledger.attempt
    where attempt.study_id = trial.study_id and attempt.trial = trial.number) as work
  cross join lateral (
    select case
      when work.claimed_at is null or trial.available_at <= work.claimed_at then trial.available_at
      when trial.round = 0 and trial.source = 'proposed' then iteration.asked_at
    end as began_at) as times) as counted;

comment on view ledger.trial_times is 'The use of each trial''s time: in the queue, held by workers, in training.';
comment on column ledger.trial_times.study is 'Name of the study.';
comment on column ledger.trial_times.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.trial_times.iteration is 'Number of the iteration that the trial belongs to, from 0.';
comment on column ledger.trial_times.state is
  'State of the trial: pending, running, paused, complete, pruned, failed or cancelled.';
comment on column ledger.trial_times.attempts is 'Number of claims, from 0.';
comment on column ledger.trial_times.began_at is
  'Time from which workers could first claim the trial; null if the trial returned to the queue and this time is not '
  'recorded.';
comment on column ledger.trial_times.finished_at is 'Time when the trial ended; null if the trial has not ended.';
comment on column ledger.trial_times.queue_seconds is
  'Seconds in the queue, including waits after an attempt and pauses at a rung; null if began_at is null.';
comment on column ledger.trial_times.claimed_seconds is
  'Seconds for which workers have held the trial. They include the training of other trials in the same call of claim.';
comment on column ledger.trial_times.training_seconds is
  'Seconds of training in all attempts of the trial, as measured by the workers; attempts without a measurement count '
  'as 0.';
comment on column ledger.trial_times.total_seconds is
  'Sum of queue_seconds and claimed_seconds: from began_at to the end of the trial or to now; null if began_at is '
  'null.';
