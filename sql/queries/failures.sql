-- What went wrong? Every attempt that did not end in a result, the latest first, with the last line of its error.
-- psql -f sql/queries/failures.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study % \endif
select study.name as study, attempt.trial, attempt.number as attempt, attempt.outcome, attempt.worker, attempt.ended_at,
  regexp_replace(rtrim(attempt.error, E'\n'), '^.*\n', '') as error
from ledger.attempt
join ledger.study on study.id = attempt.study_id
where attempt.outcome <> 'complete' and study.name like :'study'
order by attempt.ended_at desc, attempt.trial;
