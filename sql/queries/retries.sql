-- What was tried again, and with which result? Trials that had another attempt after a failed or lost one, and trials
-- with the parameters of a failed or cancelled trial. A trial that was only released is not shown.
-- psql -f sql/queries/retries.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study '' \endif
select study, number as trial, retry_of, attempts, failures, lost, state, round(loss::numeric, 4) as loss,
  left(regexp_replace(rtrim(error, E'\n'), '^.*\n', ''), 60) as error
from ledger.trials
where (retry_of is not null or failures + lost > 0 and attempts > 1) and :'study' in (study, '')
order by study, number;
