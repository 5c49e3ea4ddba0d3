-- How many trials of each study have ended, and what is the best value of each study?
-- psql -f sql/queries/progress.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, state, ended || '/' || budget as trials, complete, running, pending, failed,
  round(best_value::numeric, 4) as best_value, date_trunc('second', elapsed) as elapsed
from ledger.progress
where :'study' in (study, '');
