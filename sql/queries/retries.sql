-- What was tried again, and what came of it? Trials with more than one attempt after failed or lost ones, and those that
-- take up the parameters of a failed or cancelled trial; a trial that was given back unfinished has lost nothing.
-- psql -f sql/queries/retries.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study '' \endif
select study, number as trial, retry_of, attempts, failures, lost, state, round(loss::numeric, 4) as loss,
  left(regexp_replace(rtrim(error, E'\n'), '^.*\n', ''), 60) as error
from ledger.trials
where (retry_of is not null or failures + lost > 0 and attempts > 1) and :'study' in (study, '')
order by study, number;
