-- What went wrong? The query shows each ended attempt whose outcome is not `complete`. The latest attempt comes first.
-- For each attempt, the query shows the first 60 characters of the last line of the error.
-- psql -f sql/queries/failures.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, trial, attempt, outcome, worker, date_trunc('second', ended_at) as ended_at,
  left(regexp_replace(rtrim(error, E'\n'), '^.*\n', ''), 60) as error
from ledger.attempts
where outcome <> 'complete' and :'study' in (study, '')
order by attempts.ended_at desc, study, trial;
