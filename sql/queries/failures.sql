-- What went wrong? Every attempt that did not end in a result, the latest first, with the last line of its error.
-- psql -f sql/queries/failures.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study % \endif
select study, trial, number as attempt, outcome, worker, ended_at,
  regexp_replace(rtrim(error, E'\n'), '^.*\n', '') as error
from ledger.attempts
where outcome <> 'complete' and study like :'study'
order by ended_at desc, trial;
