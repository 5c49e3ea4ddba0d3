-- Which results came too late, and do they differ from the recorded results? A result came too late if another worker
-- had already claimed the trial, or if the trial had already ended. If the objective is deterministic, the late value
-- is equal to the recorded value, and the column `difference` contains 0.
-- psql -f sql/queries/stale_results.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select attempts.study, attempts.trial, attempts.attempt, attempts.worker,
  round(extract(epoch from attempts.ended_at - trials.finished_at), 1) as late_seconds, trials.state,
  round(attempts.value::numeric, 4) as stale_value, round(trials.value::numeric, 4) as recorded_value,
  round(attempts.value::numeric - trials.value::numeric, 4) as difference
from ledger.attempts
join ledger.trials on trials.study_id = attempts.study_id and trials.trial = attempts.trial
where attempts.outcome = 'stale' and :'study' in (attempts.study, '')
order by attempts.study, attempts.trial, attempts.attempt;
