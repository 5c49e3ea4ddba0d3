-- Where the time of each trial went: waiting to be claimed, held by a worker, and of that, training. A trial that was
-- given back waits again; how long it waited at first is known of those that their iteration began with.
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
    -- a late result ends its attempt after the trial has ended, or while another holds it
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

comment on view ledger.trial_times is 'Where the time of each trial went: in the queue, held by workers, in training.';
comment on column ledger.trial_times.study is 'Name of the study.';
comment on column ledger.trial_times.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.trial_times.iteration is 'The iteration that it belongs to, from 0.';
comment on column ledger.trial_times.state is 'pending, running, complete, failed or cancelled.';
comment on column ledger.trial_times.attempts is 'Times that it was claimed, from 0.';
comment on column ledger.trial_times.began_at is
  'When it first could be claimed; null where it was given back and that is not recorded.';
comment on column ledger.trial_times.finished_at is 'When it ended; null until then.';
comment on column ledger.trial_times.queue_seconds is
  'Seconds for which it waited for a worker, after an attempt that did not end it too; null where began_at is.';
comment on column ledger.trial_times.claimed_seconds is
  'Seconds for which workers held it, so far; with trials claimed together, also while others of them were trained.';
comment on column ledger.trial_times.training_seconds is
  'Seconds of training of all its attempts, as the workers measured them; what was not measured counts as none.';
comment on column ledger.trial_times.total_seconds is
  'queue_seconds and claimed_seconds: from began_at to its end, or to now; null where began_at is.';
