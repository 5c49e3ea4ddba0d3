-- Which trials were tried again, and how did they end? The query lists each trial with several attempts if at least one
-- attempt of the trial failed, crashed or was lost. The query also lists each trial that a user has added as a retry of
-- a failed or cancelled trial.
-- psql -f sql/queries/retries.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, trial, retry_of, attempts, failures, crashes, lost, state, round(value::numeric, 4) as value,
  left(regexp_replace(rtrim(error, E'\n'), '^.*\n', ''), 60) as error
from ledger.trials
where (retry_of is not null or failures + crashes + lost > 0 and attempts > 1) and :'study' in (study, '')
order by study, trial;
