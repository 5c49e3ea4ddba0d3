-- How did attempts end, and how much time did they take?
-- psql -f sql/queries/outcomes.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, outcome, attempts, trials, workers, round(training_seconds::numeric, 2) as training_seconds,
  round(claimed_seconds::numeric, 2) as claimed_seconds,
  round(100.0 * attempts / sum(attempts) over (partition by study), 1) as percent
from ledger.outcomes
where :'study' in (study, '')
order by study, attempts desc, outcome;
