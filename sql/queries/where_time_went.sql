-- How did the workers spend their time? For each study, the query divides the time of the workers into three parts. The
-- three parts are the training time, the idle time, and the time in which a worker holds a trial but does not train.
-- While a worker loads the objective or sends statements to the database, the worker holds a trial but does not train.
-- Most idle time passes while the manager proposes trials, or while the slowest trial of an iteration is in training.
-- The column `proposing_seconds` contains the time that the manager needed for its proposals.
-- psql -f sql/queries/where_time_went.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select progress.study, round(extract(epoch from progress.elapsed), 1) as elapsed_seconds,
  round(proposed.seconds::numeric, 1) as proposing_seconds, work.workers,
  round(work.present::numeric, 1) as present_seconds,
  -- The query computes with the type numeric, because PostgreSQL raises an error if an operation with doubles
  -- underflows.
  round(100 * work.training::numeric / nullif(work.present, 0)::numeric) as training_percent,
  round(100 * (work.busy - work.training)::numeric / nullif(work.present, 0)::numeric) as holding_percent,
  round(100 * (work.present - work.busy)::numeric / nullif(work.present, 0)::numeric) as idle_percent
from ledger.progress
cross join lateral (
  select sum(ask_seconds + tell_seconds) as seconds
  from ledger.iterations
  where iterations.study = progress.study) as proposed
cross join lateral (
  select count(*) as workers, sum(present_seconds) as present, sum(busy_seconds) as busy,
    sum(training_seconds) as training
  from ledger.utilisation
  -- If a worker never announced itself, the column `present_seconds` is null.
  where utilisation.study = progress.study and present_seconds is not null) as work
where :'study' in (progress.study, '')
order by progress.study;
